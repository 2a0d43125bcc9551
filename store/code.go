package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ridgeline-mlops/ridgeline"
	"github.com/ridgeline-mlops/ridgeline/internal/sqlq"
)

const selectBranches = `SELECT project, name, hash, build, note, updated FROM branches`

func scanBranch(row sqlq.Row) (b ridgeline.Branch, err error) {
	err = row.Scan(&b.Project, &b.Name, &b.Hash, &b.Build, &b.Note, asTime(&b.Updated))
	return b, err
}

// Branches returns where a project's branches stood when they were last
// looked at, by name.
func (s *Store) Branches(ctx context.Context, project ridgeline.ProjectName) ([]ridgeline.Branch, error) {
	all, err := collect(ctx, s.q(), scanBranch, selectBranches+` WHERE project = $1 ORDER BY name`, project)
	if err != nil {
		return nil, fmt.Errorf("list branches of %s: %w", project, err)
	}
	return all, nil
}

// SetBranch notes where a branch stands. was is the hash that its row had
// when the caller looked, empty for none: when somebody else has changed it
// since, the answer is Conflict and nothing is written.
func (s *Store) SetBranch(ctx context.Context, b ridgeline.Branch, was string) error {
	const insert = `INSERT INTO branches (project, name, hash, build, note, updated) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project, name) DO NOTHING`
	const update = `UPDATE branches SET hash = $1, build = $2, note = $3, updated = $4 WHERE project = $5 AND name = $6 AND hash = $7`
	return s.doing(ctx, fmt.Sprintf("set branch %s of %s", b.Name, b.Project), func(tx *Store) error {
		var n int64
		var err error
		if was == "" {
			n, err = tx.tx.Exec(ctx, insert, b.Project, b.Name, b.Hash, b.Build, b.Note, b.Updated)
		} else {
			n, err = tx.tx.Exec(ctx, update, b.Hash, b.Build, b.Note, b.Updated, b.Project, b.Name, was)
		}
		if err == nil && n == 0 {
			return ridgeline.Errorf(ridgeline.Conflict, "branch %s of %s was changed meanwhile", b.Name, b.Project)
		}
		return err
	})
}

// RemoveBranch forgets a branch that is gone. It is Conflict when somebody
// else has changed the row since it was read, and harmless twice.
func (s *Store) RemoveBranch(ctx context.Context, b ridgeline.Branch) error {
	return s.doing(ctx, fmt.Sprintf("remove branch %s of %s", b.Name, b.Project), func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, `DELETE FROM branches WHERE project = $1 AND name = $2 AND hash = $3`, b.Project, b.Name, b.Hash)
		if err != nil || n > 0 {
			return err
		}
		var there int64
		err = tx.tx.QueryRow(ctx, `SELECT COUNT(*) FROM branches WHERE project = $1 AND name = $2`, b.Project, b.Name).Scan(&there)
		if err == nil && there > 0 {
			return ridgeline.Errorf(ridgeline.Conflict, "branch %s of %s was changed meanwhile", b.Name, b.Project)
		}
		return err
	})
}

// PutRemote keeps a remote, in place of one of the same project and name.
func (s *Store) PutRemote(ctx context.Context, r ridgeline.Remote) error {
	const insert = `INSERT INTO remotes (project, name, forge, url, api, username, secret, token, deploy_key, known_hosts, forks, caller, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (project, name) DO UPDATE SET forge = excluded.forge, url = excluded.url, api = excluded.api, username = excluded.username,
			secret = excluded.secret, token = excluded.token, deploy_key = excluded.deploy_key, known_hosts = excluded.known_hosts,
			forks = excluded.forks, caller = excluded.caller, created = excluded.created`
	if err := r.Check(); err != nil {
		return err
	}
	return s.doing(ctx, fmt.Sprintf("keep remote %s of %s", r.Name, r.Project), func(tx *Store) error {
		if _, err := tx.EnsureProject(ctx, r.Project, r.Created); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, insert, r.Project, r.Name, r.Forge, r.URL, r.API, r.User, r.Secret, r.Token, r.Key, r.KnownHosts, r.Forks, r.Caller, r.Created)
		return err
	})
}

const selectRemotes = `SELECT project, name, forge, url, api, username, secret, token, deploy_key, known_hosts, forks, caller, created FROM remotes`

func scanRemote(row sqlq.Row) (r ridgeline.Remote, err error) {
	err = row.Scan(&r.Project, &r.Name, &r.Forge, &r.URL, &r.API, &r.User, &r.Secret, &r.Token, &r.Key, &r.KnownHosts,
		asBool(&r.Forks), &r.Caller, asTime(&r.Created))
	return r, err
}

// Remote returns a project's remote.
func (s *Store) Remote(ctx context.Context, project ridgeline.ProjectName, name string) (ridgeline.Remote, error) {
	r, err := scanRemote(s.q().QueryRow(ctx, selectRemotes+` WHERE project = $1 AND name = $2`, project, name))
	switch {
	case absent(err):
		return r, ridgeline.Errorf(ridgeline.NotFound, "project %s has no remote %s: see ridgeline remote list", project, name)
	case err != nil:
		return r, fmt.Errorf("read remote %s of %s: %w", name, project, err)
	}
	return r, nil
}

// Remotes returns a project's remotes by name; all of them for an empty
// project.
func (s *Store) Remotes(ctx context.Context, project ridgeline.ProjectName) ([]ridgeline.Remote, error) {
	var f filter
	if project != "" {
		f.and("project = ?", project)
	}
	query, args := f.sql(selectRemotes, "project, name", 0)
	all, err := collect(ctx, s.q(), scanRemote, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list remotes: %w", err)
	}
	return all, nil
}

// RemoveRemote forgets a remote and its secrets; what it has led to stays.
func (s *Store) RemoveRemote(ctx context.Context, project ridgeline.ProjectName, name string) error {
	return s.doing(ctx, fmt.Sprintf("remove remote %s of %s", name, project), func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, `DELETE FROM remotes WHERE project = $1 AND name = $2`, project, name)
		if err == nil && n == 0 {
			return ridgeline.Errorf(ridgeline.NotFound, "project %s has no remote %s: see ridgeline remote list", project, name)
		}
		return err
	})
}

// TakeDelivery keeps a webhook's delivery with what is to be done about it.
// When the same was taken before it keeps nothing and returns that one.
func (s *Store) TakeDelivery(ctx context.Context, d ridgeline.HookDelivery, notices []ridgeline.Notice) (earlier ridgeline.HookDelivery, known bool, err error) {
	const insert = `INSERT INTO hook_deliveries (project, remote, digest, id, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (project, remote, digest) DO NOTHING`
	const find = `SELECT project, remote, digest, id, at FROM hook_deliveries WHERE project = $1 AND remote = $2 AND digest = $3`
	err = s.doing(ctx, fmt.Sprintf("take delivery %s of remote %s", d.ID, d.Remote), func(tx *Store) error {
		n, err := tx.tx.Exec(ctx, insert, d.Project, d.Remote, d.Digest, d.ID, d.At)
		if err != nil {
			return err
		}
		if known = n == 0; known {
			row := tx.tx.QueryRow(ctx, find, d.Project, d.Remote, d.Digest)
			return row.Scan(&earlier.Project, &earlier.Remote, &earlier.Digest, &earlier.ID, asTime(&earlier.At))
		}
		for _, notice := range notices {
			if err := tx.createNotice(ctx, notice); err != nil {
				return err
			}
		}
		return nil
	})
	return earlier, known, err
}

func (s *Store) createNotice(ctx context.Context, n ridgeline.Notice) error {
	const insert = `INSERT INTO notices (id, project, remote, digest, event, branch, pull_request, ref, hash, repository, status, reason, attempts, next, build, created, ended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`
	_, err := s.tx.Exec(ctx, insert, n.ID, n.Project, n.Remote, n.Digest, n.Event, n.Branch, n.PullRequest, n.Ref, n.Hash, n.Repository,
		n.Status, n.Reason, n.Attempts, n.Next, n.Build, n.Created, n.Ended)
	return err
}

// A NoticeFilter chooses notices; the zero value means all.
type NoticeFilter struct {
	Project ridgeline.ProjectName
	Remote  string
	Digest  string            // of the delivery
	Build   ridgeline.BuildID // which they led to
	Hash    string            // of the commit
	Due     time.Time         // only those whose next attempt is not after this
	Limit   int               // 0: all

	PullRequest string // its number
}

const selectNotices = `SELECT id, project, remote, digest, event, branch, pull_request, ref, hash, repository, status, reason, attempts, next, build, created, ended FROM notices`

func scanNotice(row sqlq.Row) (n ridgeline.Notice, err error) {
	err = row.Scan(&n.ID, &n.Project, &n.Remote, &n.Digest, &n.Event, &n.Branch, &n.PullRequest, &n.Ref, &n.Hash, &n.Repository,
		&n.Status, &n.Reason, &n.Attempts, asTime(&n.Next), &n.Build, asTime(&n.Created), asTime(&n.Ended))
	return n, err
}

// Notices returns notices, newest first; those that are due, longest due
// first.
func (s *Store) Notices(ctx context.Context, want NoticeFilter) ([]ridgeline.Notice, error) {
	var f filter
	if want.Project != "" {
		f.and("project = ?", want.Project)
	}
	if want.Remote != "" {
		f.and("remote = ?", want.Remote)
	}
	if want.Digest != "" {
		f.and("digest = ?", want.Digest)
	}
	if want.Build != "" {
		f.and("build = ?", want.Build)
	}
	if want.Hash != "" {
		f.and("hash = ?", want.Hash)
	}
	if want.PullRequest != "" {
		f.and("pull_request = ?", want.PullRequest)
	}
	order := "created DESC, id DESC"
	if !want.Due.IsZero() {
		f.unfinished("status")
		f.and("next <= ?", want.Due)
		order = "next, created, id"
	}
	query, args := f.sql(selectNotices, order, want.Limit)
	all, err := collect(ctx, s.q(), scanNotice, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list notices: %w", err)
	}
	return all, nil
}

// Notice returns one notice.
func (s *Store) Notice(ctx context.Context, id ridgeline.NoticeID) (ridgeline.Notice, error) {
	n, err := scanNotice(s.q().QueryRow(ctx, selectNotices+` WHERE id = $1`, id))
	switch {
	case absent(err):
		return n, ridgeline.Errorf(ridgeline.NotFound, "no notice %s", id)
	case err != nil:
		return n, fmt.Errorf("read notice %s: %w", id, err)
	}
	return n, nil
}

// FinishNotice ends a notice; see ridgeline.Notice.Finish.
func (s *Store) FinishNotice(ctx context.Context, id ridgeline.NoticeID, status ridgeline.Status, reason string, build ridgeline.BuildID, at time.Time) error {
	return s.changeNotice(ctx, "finish", id, func(n *ridgeline.Notice) error { return n.Finish(status, reason, build, at) })
}

// PostponeNotice notes a failed attempt; see ridgeline.Notice.Postpone.
func (s *Store) PostponeNotice(ctx context.Context, id ridgeline.NoticeID, reason string, next time.Time) error {
	return s.changeNotice(ctx, "postpone", id, func(n *ridgeline.Notice) error { return n.Postpone(reason, next) })
}

func (s *Store) changeNotice(ctx context.Context, what string, id ridgeline.NoticeID, change func(n *ridgeline.Notice) error) error {
	const update = `UPDATE notices SET status = $1, reason = $2, attempts = $3, next = $4, build = $5, ended = $6 WHERE id = $7`
	return changeByID(ctx, s, "notices", "notice", what, id, (*Store).Notice, func(tx *Store, n *ridgeline.Notice) error {
		if err := change(n); err != nil {
			return err
		}
		_, err := tx.tx.Exec(ctx, update, n.Status, n.Reason, n.Attempts, n.Next, n.Build, n.Ended, id)
		return err
	})
}

// LastDelivery returns the newest delivery of a remote's webhook.
func (s *Store) LastDelivery(ctx context.Context, project ridgeline.ProjectName, remote string) (d ridgeline.HookDelivery, err error) {
	const find = `SELECT project, remote, digest, id, at FROM hook_deliveries WHERE project = $1 AND remote = $2 ORDER BY at DESC LIMIT 1`
	err = s.q().QueryRow(ctx, find, project, remote).Scan(&d.Project, &d.Remote, &d.Digest, &d.ID, asTime(&d.At))
	switch {
	case absent(err):
		return d, ridgeline.Errorf(ridgeline.NotFound, "the webhook of remote %s has not called yet", remote)
	case err != nil:
		return d, fmt.Errorf("read the last delivery of remote %s: %w", remote, err)
	}
	return d, nil
}
