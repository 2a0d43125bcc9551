package ui

import (
	"context"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/store"
	"github.com/ridgeline-mlops/ridgeline/ui/components"
)

// An hour is what an endpoint answered in the last one, and its course.
type hour struct {
	versionHistory // of all versions together
	Course         []components.Column
}

// lastHour is nil for an endpoint that was not asked.
func (u *UI) lastHour(ctx context.Context, e ridgeline.Endpoint, now time.Time) (*hour, error) {
	slots, err := u.Store.Slots(ctx, e.Project, e.Environment, store.SlotLong, now.Add(-time.Hour).Truncate(store.SlotLong).Add(store.SlotLong))
	return hourOf(slots, now), err
}

func hourOf(slots []store.Slot, now time.Time) *hour {
	const parts = int(time.Hour / store.SlotLong)
	course := make([]components.Value, parts)
	last := now.Truncate(store.SlotLong)
	for i := range course {
		course[i].Name = last.Add(time.Duration(i+1-parts) * store.SlotLong).Format("15:04 UTC")
	}
	out := &hour{}
	for _, s := range slots {
		out.Slot = plus(out.Slot, s)
		if i := parts - 1 - int(last.Sub(s.At)/store.SlotLong); i >= 0 && i < parts {
			course[i].Count += s.Requests()
		}
	}
	if out.Requests() == 0 {
		return nil
	}
	// The last part is still going on.
	length := now.Sub(last) + time.Duration(parts-1)*store.SlotLong
	out.PerSecond, out.Course = float64(out.Requests())/length.Seconds(), components.Frequencies(course)
	return out
}
