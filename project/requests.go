package project

import (
	"encoding/json"

	"github.com/ridgeline-mlops/ridgeline"
)

// The forms in which rows become a request.
const (
	RequestData    = "data"              // Azure ML's {"data": rows}
	RequestSplit   = "dataframe_split"   // MLflow's {"dataframe_split": {"columns", "data"}}
	RequestRecords = "dataframe_records" // MLflow's {"dataframe_records": [{column: value}]}
	RequestInputs  = "inputs"            // MLflow's {"inputs": rows}
	RequestV2      = "v2"                // the Open Inference Protocol's
)

// Requests are the values of release.request.
var Requests = []string{RequestData, RequestSplit, RequestRecords, RequestInputs, RequestV2}

// Path is where a scorer takes a body. A script takes everything on /score; a
// model without one has a path for each contract, and the body's members tell
// which it was written for.
func (r Release) Path(model ridgeline.ModelName, body []byte) string {
	const score = "/score"
	var members map[string]json.RawMessage
	if r.Score != "" || json.Unmarshal(body, &members) != nil {
		return score
	}
	for _, name := range []string{RequestSplit, RequestRecords, "instances"} {
		if members[name] != nil {
			return "/invocations"
		}
	}
	if members[RequestInputs] == nil {
		return score
	}
	var tensors []struct{ Datatype string }
	if json.Unmarshal(members[RequestInputs], &tensors) == nil && len(tensors) > 0 && tensors[0].Datatype != "" {
		return "/v2/models/" + string(model) + "/infer"
	}
	return "/invocations"
}
