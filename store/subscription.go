package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

// AddSubscription keeps a new webhook. One of a project needs that project.
// The same one again is harmless.
func (s *Store) AddSubscription(ctx context.Context, sub ridgeline.Subscription) error {
	const insert = `INSERT INTO subscriptions (id, url, project, types, secret, caller, created) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO NOTHING`
	return s.doing(ctx, "add webhook "+sub.ID, func(tx *Store) error {
		if err := sub.Check(); err != nil {
			return err
		}
		if sub.Project != "" {
			if _, err := tx.Project(ctx, sub.Project); err != nil {
				return err
			}
		}
		types, err := json.Marshal(append([]string{}, sub.Types...))
		if err != nil {
			return err
		}
		_, err = tx.tx.Exec(ctx, insert, sub.ID, sub.URL, sub.Project, types, sub.Secret, sub.Caller, sub.Created)
		return err
	})
}

const selectSubscriptions = `SELECT id, url, project, types, secret, caller, created FROM subscriptions`

func scanSubscription(row sqlq.Row) (sub ridgeline.Subscription, err error) {
	err = row.Scan(&sub.ID, &sub.URL, &sub.Project, asJSON(&sub.Types), &sub.Secret, &sub.Caller, asTime(&sub.Created))
	return sub, err
}

// Subscription returns the webhook.
func (s *Store) Subscription(ctx context.Context, id string) (ridgeline.Subscription, error) {
	sub, err := scanSubscription(s.q().QueryRow(ctx, selectSubscriptions+` WHERE id = $1`, id))
	switch {
	case absent(err):
		return sub, ridgeline.Errorf(ridgeline.NotFound, "no webhook %s: ridgeline webhook list shows those there are", id)
	case err != nil:
		return sub, fmt.Errorf("read webhook %s: %w", id, err)
	}
	return sub, nil
}

// Subscriptions returns all webhooks, newest first.
func (s *Store) Subscriptions(ctx context.Context) ([]ridgeline.Subscription, error) {
	all, err := collect(ctx, s.q(), scanSubscription, selectSubscriptions+` ORDER BY created DESC, id DESC`)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return all, nil
}

// RemoveSubscription ends the webhook; what was still to be sent to it is
// not. Twice is harmless.
func (s *Store) RemoveSubscription(ctx context.Context, id string) error {
	return s.doing(ctx, "remove webhook "+id, func(tx *Store) error {
		if _, err := tx.tx.Exec(ctx, `DELETE FROM deliveries WHERE kind = $1 AND target = $2`, ridgeline.DeliveryWebhook, id); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, `DELETE FROM subscriptions WHERE id = $1`, id)
		return err
	})
}

// SendTest makes a delivery to this webhook alone: an event that nothing
// caused. It is returned as it was kept.
func (s *Store) SendTest(ctx context.Context, id string, body func(ridgeline.Event) ([]byte, error)) (ridgeline.Delivery, error) {
	const newest = selectDeliveries + ` WHERE event = $1`
	var d ridgeline.Delivery
	err := s.doing(ctx, "test webhook "+id, func(tx *Store) error {
		sub, err := tx.Subscription(ctx, id)
		if err != nil {
			return err
		}
		e := ridgeline.Event{
			Type: ridgeline.EventWebhookTest, Project: sub.Project, Subject: "webhooks/" + id, Data: json.RawMessage(`{"webhook":"` + id + `"}`), At: tx.stamp.next(),
		}
		if e.ID, err = ridgeline.NewID("e", e.At, rand.Read); err != nil {
			return err
		}
		text, err := body(e)
		if err != nil {
			return err
		}
		if err := tx.createDelivery(ctx, ridgeline.Delivery{
			Kind: ridgeline.DeliveryWebhook, Target: id, Body: text, Event: e.ID, Type: e.Type, Project: e.Project, Subject: e.Subject,
		}); err != nil {
			return err
		}
		d, err = scanDelivery(tx.tx.QueryRow(ctx, newest, e.ID))
		return err
	})
	return d, err
}
