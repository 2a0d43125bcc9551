package bill

import (
	"encoding/csv"
	"io"
	"strconv"
)

// WriteCSV writes lines for a spreadsheet, with a head: hours of cores, of GiB
// and of GPUs, and what they cost.
func WriteCSV(w io.Writer, currency string, lines []Line) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"day", "project", "what", "pool", "spot", "core_hours", "gib_hours", "gpu_hours", "predictions", "cost", "currency"}}
	figure := func(v float64) string { return strconv.FormatFloat(v, 'f', 6, 64) }
	for _, l := range lines {
		money := ""
		if currency != "" {
			money = figure(l.Money)
		}
		rows = append(rows, []string{
			l.Day, string(l.Project), l.What, l.Pool, strconv.FormatBool(l.Spot), figure(l.CPU / 3600), figure(l.Memory / (1 << 30) / 3600), figure(l.GPU / 3600),
			strconv.FormatInt(l.Predictions, 10), money, currency,
		})
	}
	return out.WriteAll(rows)
}
