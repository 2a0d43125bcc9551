package conformance

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/conformance/harness"
)

// Rows of an @input_schema script go through run() together, and each caller
// gets his own: he sends a number, and the script gives it back.
func TestAzureML_joined(t *testing.T) {
	python, scorer := harness.Python(t, "azureml"), harness.Scorer(t)
	s := script{files: map[string]string{"score.py": `
import time
import numpy as np
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType

def init(): pass

@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
def run(data):
    print("run", len(data))
    time.sleep(0.01)  # others arrive
    if (data[:, 1] < 0).any(): raise ValueError("negative")
    return {"result": data[:, 0] * 2}
`}}
	app, at := s.app(t), harness.Address(t)
	ours := harness.Run(t, app, []string{"RIDGELINE_APP=" + app, "RIDGELINE_SCORE=score.py", "RIDGELINE_LISTEN=" + at,
		"RIDGELINE_PYTHON=" + python, "RIDGELINE_WORKER_PATH=" + workerFolder(t), "PYTHONDONTWRITEBYTECODE=1"}, scorer)
	ours.Await(t, "http://"+at+"/healthz/ready")
	const clients, requests = 16, 20
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for n := range requests {
				number := float64(client*requests + n)
				body, status, want := fmt.Sprintf(`{"data": [[%v, 1], [%v, 1]]}`, number, number+0.5), 200, fmt.Sprintf(`{"result": [%.1f, %.1f]}`, 2*number, 2*number+1)
				switch n % 7 {
				case 3: // does not fit
					body, status, want = fmt.Sprintf(`{"data": [[%v]]}`, number), 400, "does not fit its sample"
				case 5: // raises
					body, status, want = fmt.Sprintf(`{"data": [[%v, -1]]}`, number), 500, "An unexpected error"
				}
				got := harness.Ask(t, "http://"+at, post("", "/score", jsonType, body))
				if got.Status != status || !strings.Contains(got.Body, want) {
					t.Errorf("sent %s, got %d %s, want %s", body, got.Status, got.Body, want)
				}
			}
		})
	}
	wg.Wait()
	if !regexp.MustCompile(`(?m)^run ([3-9]|\d\d+)$`).MatchString(ours.Output()) { // one request has at most two rows
		t.Errorf("no two requests shared a call:\n%.2000s", ours.Output())
	}
}
