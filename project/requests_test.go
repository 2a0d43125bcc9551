package project

import "testing"

func TestRelease_Path(t *testing.T) {
	for _, tt := range []struct{ score, body, want string }{
		{"", `{"data": [[1]]}`, "/score"},
		{"", `{"input_data": [[1]]}`, "/score"},
		{"", `{"dataframe_split": {"data": [[1]]}}`, "/invocations"},
		{"", `{"dataframe_records": [{"a": 1}], "params": {}}`, "/invocations"},
		{"", `{"instances": [[1]]}`, "/invocations"},
		{"", `{"inputs": [[1]]}`, "/invocations"},
		{"", `{"inputs": {"a": [1]}}`, "/invocations"},
		{"", `{"inputs": []}`, "/invocations"},
		{"", `{"id": "1", "inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}]}`, "/v2/models/diabetes/infer"},
		{"", `not JSON`, "/score"},
		{"", `[1]`, "/score"},
		{"score.py", `{"dataframe_split": {"data": [[1]]}}`, "/score"},
	} {
		if got := (Release{Score: tt.score}).Path("diabetes", []byte(tt.body)); got != tt.want {
			t.Errorf("%s with script %q: %s, want %s", tt.body, tt.score, got, tt.want)
		}
	}
}
