package azureml

import (
	"encoding/json"
	"net/http"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
	"github.com/ridgeline-mlops/ridgeline/score/tensor"
	"github.com/ridgeline-mlops/ridgeline/worker"
)

// predict has a model without a script answer.
func (h *handler) predict(w http.ResponseWriter, _ *http.Request, x *exchange.Exchange, _ worker.Model, _ []byte) {
	fail(w, x, &exchange.Failure{Reason: exchange.Invalid, Message: "This model has no scoring script: ask it at /invocations or /v2."})
}

// schemas describes a signature's inputs and outputs as OpenAPI does.
func schemas(tensor.Signature) (input, output json.RawMessage) { return anything, anything }
