package tensor

import "strconv"

// What kinds of values were seen, as bits.
const (
	sawNull = 1 << iota
	sawBool
	sawWhole // a number that int64 holds
	sawFloat
	sawText
	sawOther // lists, objects
)

// guess is the type that pandas or numpy gives to values of these kinds, as
// far as it is one that numpy has; anything else is JSON.
func guess(saw int) Type {
	switch {
	case saw == sawBool:
		return Bool
	case saw == sawWhole:
		return Int64
	case saw&^(sawWhole|sawFloat|sawNull) == 0 && saw&(sawWhole|sawFloat) != 0:
		return Float64
	case saw&^(sawText|sawNull) == 0 && saw&sawText != 0:
		return Text
	}
	return JSON
}

// see reads a value and says of what kind it is.
func (c *cursor) see() (int, error) {
	b := c.next()
	raw, err := c.skip()
	if err != nil {
		return 0, err
	}
	switch {
	case b == '"':
		return sawText, nil
	case b == '{', b == '[':
		return sawOther, nil
	case b == 't', b == 'f':
		return sawBool, nil
	case b == 'n':
		return sawNull, nil
	case b == 'N', b == 'I', view(raw) == "-Infinity":
		return sawFloat, nil
	}
	number := cursor{in: raw}
	n, _ := number.number() // it was read already
	magnitude, _ := n.integer()
	if n.whole && magnitude < 1<<63 {
		return sawWhole, nil
	}
	return sawFloat, nil
}

// numbers is the names that pandas gives to columns without any.
func numbers(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// infer makes the signature of a request to a model that has none: what the
// value of one field of the body looks like. The cursor is the caller's copy.
func infer(c cursor, field string) (*Signature, error) {
	switch {
	case field == Split, field != Records && c.next() == '{' && field != Instances && field != Inputs && looksSplit(c):
		return inferSplit(&c)
	case field == Records || c.next() == '[' && c.first() == '{':
		s, err := inferRecords(&c)
		if err == nil && field == Instances {
			s.Form = Named // columns of arrays, in MLflow
		}
		return s, err
	case c.next() == '{':
		s := &Signature{Form: Named}
		err := c.object(func(name []byte) error {
			if len(s.Inputs) >= widest {
				return errWide
			}
			f, err := inferArray(&c)
			f.Name = string(name)
			s.Inputs = append(s.Inputs, f)
			return err
		})
		if err == nil && len(s.Inputs) == 0 {
			err = malformed("There are no inputs.")
		}
		return s, err
	}
	f, err := inferArray(&c)
	return &Signature{Form: Array, Inputs: []Field{f}}, err
}

// inferArray reads lists in lists: how deep they are, and what lies in them.
// The lengths are left to the reader, to whom all have to be the same.
func inferArray(c *cursor) (Field, error) {
	saw, depth := 0, 0
	var into func(level int) error
	into = func(level int) error {
		if c.next() != '[' {
			kind, err := c.see()
			saw |= kind
			return err
		}
		if level >= deepest {
			return malformed("The body has lists and objects in each other deeper than %d.", deepest)
		}
		depth = max(depth, level+1)
		return c.list(func(int) error { return into(level + 1) })
	}
	if err := into(0); err != nil {
		return Field{}, err
	}
	f := Field{Type: guess(saw)}
	for range depth - 1 {
		f.Shape = append(f.Shape, -1)
	}
	return f, nil
}

// inferSplit reads the object of a dataframe_split.
func inferSplit(c *cursor) (*Signature, error) {
	s := &Signature{Form: Table}
	if c.next() != '{' {
		return s, nil // the reader says what is wrong with it
	}
	var names []string
	var saw []int
	err := c.object(func(name []byte) (err error) {
		if string(name) == "columns" && c.next() == '[' {
			names, err = c.names(nil)
			return err
		}
		if string(name) != "data" || c.next() != '[' {
			_, err = c.skip()
			return err
		}
		return c.list(func(int) error {
			if c.next() != '[' {
				_, err := c.skip()
				return err
			}
			return c.list(func(i int) error {
				if i >= widest {
					return errWide
				}
				kind, err := c.see()
				if i >= len(saw) {
					saw = append(saw, 0)
				}
				saw[i] |= kind
				return err
			})
		})
	})
	if names == nil {
		names = numbers(len(saw))
	}
	for i, name := range names {
		f := Field{Name: name, Type: JSON}
		if i < len(saw) {
			f.Type = guess(saw[i])
		}
		s.Inputs = append(s.Inputs, f)
	}
	return s, err
}

// inferRecords reads a list of objects. A value that is not in every one of
// them is null there.
func inferRecords(c *cursor) (*Signature, error) {
	s := &Signature{Form: Table}
	if c.next() != '[' {
		return s, nil
	}
	var saw, times []int
	rows := 0
	index := map[string]int{}
	err := c.list(func(int) error {
		rows++
		if c.next() != '{' {
			_, err := c.skip()
			return err
		}
		return c.object(func(name []byte) error {
			i, ok := index[string(name)]
			if !ok {
				if len(saw) >= widest {
					return errWide
				}
				i = len(saw)
				index[string(name)] = i
				saw, times = append(saw, 0), append(times, 0)
				s.Inputs = append(s.Inputs, Field{Name: string(name)})
			}
			kind, err := c.see()
			saw[i] |= kind
			times[i]++
			return err
		})
	})
	for i := range s.Inputs {
		if times[i] < rows {
			saw[i] |= sawNull
		}
		s.Inputs[i].Type = guess(saw[i])
	}
	return s, err
}
