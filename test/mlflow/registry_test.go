package mlflow_test

import (
	"strings"
)

func (s *session) patch(name, path, body string) { s.t.Helper(); s.do(name, "PATCH", path, body) }
func (s *session) delete(name, path, body string) {
	s.t.Helper()
	s.do(name, "DELETE", path, body)
}

// registry asks about registered models and their versions.
func (s *session) registry() {
	s.post("register model", "registered-models/create", `{"name": "iris ä", "description": "d", "tags": [{"key": "team", "value": "a"}, {"key": "x", "value": ""}]}`)
	s.post("register model again", "registered-models/create", `{"name": "iris ä"}`)
	s.post("register bare model", "registered-models/create", `{"name": "bare"}`)
	for what, name := range map[string]string{"no name": "", "blank": "  ", "slash": "a/b", "colon": "a:b", "dots": "..", "number": "5"} {
		s.post("register model with "+what, "registered-models/create", `{"name": "`+name+`"}`)
	}
	s.post("register model without name", "registered-models/create", `{}`)
	s.post("register model with a number for a name", "registered-models/create", `{"name": 5}`)
	s.post("register model with a bad tag", "registered-models/create", `{"name": "bad tag", "tags": [{"key": "../x", "value": "1"}]}`)
	s.post("register model with a long tag", "registered-models/create", `{"name": "long tag", "tags": [{"key": "`+strings.Repeat("k", 251)+`", "value": "1"}]}`)
	s.get("get model", "registered-models/get?name=iris+%C3%A4")
	s.get("get bare model", "registered-models/get?name=bare")
	s.get("get no model", "registered-models/get?name=none")
	s.get("get model without name", "registered-models/get")
	s.patch("describe model", "registered-models/update", `{"name": "iris ä", "description": "other"}`)
	s.patch("describe no model", "registered-models/update", `{"name": "none", "description": "other"}`)
	s.post("tag model", "registered-models/set-tag", `{"name": "iris ä", "key": "k", "value": "v"}`)
	s.post("tag no model", "registered-models/set-tag", `{"name": "none", "key": "k", "value": "v"}`)
	s.post("tag model without key", "registered-models/set-tag", `{"name": "iris ä", "value": "v"}`)
	s.delete("untag model", "registered-models/delete-tag", `{"name": "iris ä", "key": "k"}`)
	s.delete("untag model again", "registered-models/delete-tag", `{"name": "iris ä", "key": "k"}`)
	s.versions()
	s.registrySearches()
	s.post("rename model", "registered-models/rename", `{"name": "iris ä", "new_name": "iris"}`)
	s.post("rename model badly", "registered-models/rename", `{"name": "iris", "new_name": "a/b"}`)
	s.post("rename model to nothing", "registered-models/rename", `{"name": "iris"}`)
	s.post("rename no model", "registered-models/rename", `{"name": "none", "new_name": "x"}`)
	s.post("rename model to one that is there", "registered-models/rename", `{"name": "iris", "new_name": "bare"}`)
	s.get("get a renamed model's version", "model-versions/get?name=iris&version=1")
	s.delete("delete version", "model-versions/delete", `{"name": "iris", "version": "2"}`)
	s.delete("delete version again", "model-versions/delete", `{"name": "iris", "version": "2"}`)
	s.delete("delete version by letters", "model-versions/delete", `{"name": "iris", "version": "x"}`)
	s.get("get deleted version", "model-versions/get?name=iris&version=2")
	s.get("get model without its deleted version", "registered-models/get?name=iris")
	s.get("alias of a deleted version", "registered-models/alias?name=iris&alias=best")
	s.post("create version after a deleted one", "model-versions/create", `{"name": "iris", "source": "s3://bucket/x"}`)
	s.delete("delete model", "registered-models/delete", `{"name": "iris"}`)
	s.delete("delete model again", "registered-models/delete", `{"name": "iris"}`)
	s.get("get deleted model", "registered-models/get?name=iris")
}

func (s *session) versions() {
	s.post("create version", "model-versions/create", `{"name": "iris ä", "source": "s3://bucket/m", "run_id": "{run0}", "description": "first", "tags": [{"key": "t", "value": "1"}], "run_link": "http://x"}`)
	s.post("create bare version", "model-versions/create", `{"name": "iris ä", "source": "s3://bucket/n"}`)
	s.post("create version from a run", "model-versions/create", `{"name": "iris ä", "source": "runs:/{run0}/model", "run_id": "{run0}"}`)
	s.post("create version of no model", "model-versions/create", `{"name": "none", "source": "s3://bucket/m"}`)
	s.post("create version without source", "model-versions/create", `{"name": "iris ä"}`)
	s.post("create version from a file", "model-versions/create", `{"name": "iris ä", "source": "/etc/passwd"}`)
	s.post("create version from a file by address", "model-versions/create", `{"name": "iris ä", "source": "file:///etc/passwd", "run_id": "{run0}"}`)
	s.post("create version from above", "model-versions/create", `{"name": "iris ä", "source": "s3://bucket/../m"}`)
	s.post("create version from above, encoded", "model-versions/create", `{"name": "iris ä", "source": "mlflow-artifacts:/a/%252e%252e/b", "run_id": "{run0}"}`)
	s.post("create version from another run", "model-versions/create", `{"name": "iris ä", "source": "runs:/{run1}/model", "run_id": "{run0}"}`)
	s.post("create version from elsewhere", "model-versions/create", `{"name": "iris ä", "source": "mlflow-artifacts:/77/x/artifacts", "run_id": "{run0}"}`)
	s.post("create version from no run", "model-versions/create", `{"name": "iris ä", "source": "mlflow-artifacts:/77/x/artifacts"}`)
	s.post("create version of no logged model", "model-versions/create", `{"name": "iris ä", "source": "models:/m-none", "model_id": "m-none"}`)
	s.post("create version of a logged model that is not named", "model-versions/create", `{"name": "iris ä", "source": "models:/m-none"}`)
	s.post("create version with a bad tag", "model-versions/create", `{"name": "iris ä", "source": "s3://bucket/m", "tags": [{"key": "a//b", "value": "1"}]}`)
	s.post("copy version", "model-versions/create", `{"name": "bare", "source": "models:/iris ä/1"}`)
	s.post("copy version that is not there", "model-versions/create", `{"name": "bare", "source": "models:/iris ä/9"}`)
	s.post("copy version with another run", "model-versions/create", `{"name": "bare", "source": "models:/iris ä/1", "run_id": "other"}`)
	s.get("get version", "model-versions/get?name=iris+%C3%A4&version=1")
	s.get("get bare version", "model-versions/get?name=iris+%C3%A4&version=2")
	s.get("get copied version", "model-versions/get?name=bare&version=1")
	s.get("get no version", "model-versions/get?name=iris+%C3%A4&version=99")
	s.get("get version zero", "model-versions/get?name=iris+%C3%A4&version=0")
	s.get("get version by letters", "model-versions/get?name=iris+%C3%A4&version=abc")
	s.get("get version without number", "model-versions/get?name=iris+%C3%A4")
	s.get("get version of no model", "model-versions/get?name=none&version=1")
	s.get("download uri", "model-versions/get-download-uri?name=iris+%C3%A4&version=1")
	s.get("download uri of no version", "model-versions/get-download-uri?name=iris+%C3%A4&version=99")
	s.patch("describe version", "model-versions/update", `{"name": "iris ä", "version": "2", "description": "second"}`)
	s.patch("describe version by number", "model-versions/update", `{"name": "iris ä", "version": 2, "description": "second"}`)
	s.post("tag version", "model-versions/set-tag", `{"name": "iris ä", "version": "1", "key": "k", "value": "v"}`)
	s.post("tag version zero", "model-versions/set-tag", `{"name": "iris ä", "version": "0", "key": "k", "value": "v"}`)
	s.post("tag version badly", "model-versions/set-tag", `{"name": "iris ä", "version": "1", "key": "#", "value": "v"}`)
	s.delete("untag version", "model-versions/delete-tag", `{"name": "iris ä", "version": "1", "key": "k"}`)
	s.delete("untag version again", "model-versions/delete-tag", `{"name": "iris ä", "version": "1", "key": "k"}`)
	s.post("set alias", "registered-models/alias", `{"name": "iris ä", "alias": "best", "version": "1"}`)
	s.post("move alias", "registered-models/alias", `{"name": "iris ä", "alias": "best", "version": "2"}`)
	s.post("set champion", "registered-models/alias", `{"name": "iris ä", "alias": "champion", "version": "1"}`)
	for _, alias := range []string{"latest", "Latest", "v1", "a b", "a/b", strings.Repeat("a", 256)} {
		s.post("set alias "+alias, "registered-models/alias", `{"name": "iris ä", "alias": "`+alias+`", "version": "1"}`)
	}
	s.post("set alias without one", "registered-models/alias", `{"name": "iris ä", "version": "1"}`)
	s.post("set alias of no version", "registered-models/alias", `{"name": "iris ä", "alias": "b", "version": "99"}`)
	s.get("get by alias", "registered-models/alias?name=iris+%C3%A4&alias=best")
	s.get("get by no alias", "registered-models/alias?name=iris+%C3%A4&alias=none")
	s.get("get the latest by alias", "registered-models/alias?name=iris+%C3%A4&alias=latest")
	s.get("get by alias of no model", "registered-models/alias?name=none&alias=best")
	s.get("get model with aliases", "registered-models/get?name=iris+%C3%A4")
	s.delete("delete alias", "registered-models/alias", `{"name": "iris ä", "alias": "champion"}`)
	s.delete("delete alias again", "registered-models/alias", `{"name": "iris ä", "alias": "champion"}`)
	s.post("stage version", "model-versions/transition-stage", `{"name": "iris ä", "version": "1", "stage": "production", "archive_existing_versions": false}`)
	s.post("stage another", "model-versions/transition-stage", `{"name": "iris ä", "version": "2", "stage": "Production", "archive_existing_versions": true}`)
	s.post("stage badly", "model-versions/transition-stage", `{"name": "iris ä", "version": "2", "stage": "Prod", "archive_existing_versions": false}`)
	s.post("stage and archive", "model-versions/transition-stage", `{"name": "iris ä", "version": "2", "stage": "None", "archive_existing_versions": true}`)
	s.post("latest versions", "registered-models/get-latest-versions", `{"name": "iris ä"}`)
	s.get("latest versions of a stage", "registered-models/get-latest-versions?name=iris+%C3%A4&stages=Production&stages=archived")
	s.post("latest versions of a bad stage", "registered-models/get-latest-versions", `{"name": "iris ä", "stages": ["x"]}`)
}

func (s *session) registrySearches() {
	for _, filter := range []string{"", "name%20%3D%20'bare'", "name%20LIKE%20'i%25'", "name%20ILIKE%20'B%25'", "tags.team%20%3D%20'a'", "tags.`mlflow.prompt.is_prompt`%20!%3D%20'true'", "name%20IN%20('bare')"} {
		s.get("search models "+filter, "registered-models/search?filter="+filter)
	}
	for _, filter := range []string{"name%20%3E%20'a'", "run_id%20%3D%20'a'", "name%20%3D%20bare", "tags.team%20%3E%20'a'", "name%20%3D%20'a'%20OR%20name%20%3D%20'b'"} {
		s.get("refused search of models "+filter, "registered-models/search?filter="+filter)
	}
	s.get("search models in order", "registered-models/search?order_by=name%20DESC")
	s.get("search models in no order", "registered-models/search?order_by=run_id")
	s.get("search models twice in order", "registered-models/search?order_by=name&order_by=name%20DESC")
	s.get("search a page of models", "registered-models/search?max_results=1")
	s.get("search too many models", "registered-models/search?max_results=1001")
	for _, filter := range []string{"", "name%20%3D%20'bare'", "run_id%20%3D%20'{run0}'", "source_path%20LIKE%20's3%25'", "version_number%20%3E%201", "tags.t%20%3D%20'1'", "run_id%20IN%20('{run0}')", "name%20LIKE%20'ir%25'%20AND%20version_number%20%3C%3D%202"} {
		s.get("search versions "+filter, "model-versions/search?order_by=name&order_by=version_number&filter="+filter)
	}
	for _, filter := range []string{"creation_timestamp%20%3E%201", "version_number%20LIKE%20'1'", "name%20%3D%201", "source_path%20IN%20('a')", "name%20%3D"} {
		s.get("refused search of versions "+filter, "model-versions/search?filter="+filter)
	}
	s.get("search versions in order", "model-versions/search?order_by=version_number%20DESC&order_by=name")
	s.get("search versions in no order", "model-versions/search?order_by=run_id")
	s.get("search a page of versions", "model-versions/search?max_results=2&order_by=name&order_by=version_number")
	s.get("search no versions", "model-versions/search?max_results=0")
	s.get("search too many versions", "model-versions/search?max_results=200001")
}
