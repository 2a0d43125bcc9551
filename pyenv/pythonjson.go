package pyenv

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// pythonJSON writes what json.dumps(v, sort_keys=True) does.
func pythonJSON(b *strings.Builder, v any) {
	list := func(n int, open, end string, item func(int)) {
		b.WriteString(open)
		for i := range n {
			if i > 0 {
				b.WriteString(", ")
			}
			item(i)
		}
		b.WriteString(end)
	}
	switch v := v.(type) {
	case map[string]any:
		names := keys(v)
		list(len(names), "{", "}", func(i int) {
			pythonJSON(b, names[i])
			b.WriteString(": ")
			pythonJSON(b, v[names[i]])
		})
	case []any:
		list(len(v), "[", "]", func(i int) { pythonJSON(b, v[i]) })
	case []map[string]any:
		list(len(v), "[", "]", func(i int) { pythonJSON(b, v[i]) })
	case string:
		b.WriteByte('"')
		for _, r := range v {
			switch {
			case r == '"' || r == '\\':
				b.WriteString(`\` + string(r))
			case strings.ContainsRune("\n\r\t\b\f", r):
				b.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}[r])
			case r < 0x20 || r > 0x7e && r < 0x10000:
				_, _ = fmt.Fprintf(b, `\u%04x`, r)
			case r >= 0x10000:
				high, low := utf16.EncodeRune(r)
				_, _ = fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
			default:
				b.WriteRune(r)
			}
		}
		b.WriteByte('"')
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case nil:
		b.WriteString("null")
	default:
		_, _ = fmt.Fprint(b, v)
	}
}
