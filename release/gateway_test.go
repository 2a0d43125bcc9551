package release_test

import (
	"context"

	"github.com/ridgeline-mlops/ridgeline"
)

// scorers are the gateway, too, which notes what it is told.

func (s *scorers) Switched(_ context.Context, _ ridgeline.ProjectName, environment string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("switch %s", environment)
	return nil
}

func (s *scorers) Answered(ridgeline.DeploymentID) ridgeline.Answers { return ridgeline.Answers{} }

func (s *scorers) Drained(_ context.Context, id ridgeline.DeploymentID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.running[id]; c != nil {
		s.note("drain %s", c.image)
	}
	return nil
}
