package host

import "strings"

// LastLines is the last n lines of a log, without what is empty at its end:
// what a person is shown of a task or a copy that failed.
func LastLines(log string, n int) string {
	lines := strings.Split(strings.TrimRight(log, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
