package mlflow_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// TestClient lets MLflow's own clients, the newest and an older one, drive the
// built server.
func TestClient(t *testing.T) {
	url, token := serve(t)
	script, err := filepath.Abs("client.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range []string{"mlflow-2", "mlflow-3"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			python := harness.Python(t, release)
			// A user's name and the token as password are as good as the token alone.
			env := []string{"MLFLOW_TRACKING_URI=" + url, "MLFLOW_TRACKING_TOKEN=" + token, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false", "GIT_PYTHON_REFRESH=quiet"}
			if release == "mlflow-2" {
				env[1] = "MLFLOW_TRACKING_USERNAME=anybody"
				env = append(env, "MLFLOW_TRACKING_PASSWORD="+token)
			}
			p := harness.Run(t, t.TempDir(), env, python, script)
			select {
			case <-p.Ended:
			case <-time.After(5 * time.Minute): // importing scikit-learn alone takes a busy machine half a minute
			}
			if code := p.ExitCode(t); code != 0 || !strings.Contains(p.Output(), "autologging fine") {
				t.Fatalf("exit code %d:\n%s", code, p.Output())
			}
		})
	}
}
