package pyenv

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestModelWish(t *testing.T) {
	for name, c := range map[string]struct {
		files         map[string]string
		file, version string
		code          ridgeline.Code
	}{
		"nothing":          {},
		"pip":              {files: map[string]string{"requirements.txt": "", "conda.yaml": "", "python_env.yaml": "python: 3.11.9\nbuild_dependencies: [pip]\n"}, file: "requirements.txt", version: "3.11"},
		"conda alone":      {files: map[string]string{"conda.yaml": "dependencies: []"}, file: "conda.yaml"},
		"a Python of none": {files: map[string]string{"requirements.txt": "", "python_env.yaml": "dependencies: []"}, file: "requirements.txt"},
		"no YAML":          {files: map[string]string{"requirements.txt": "", "python_env.yaml": "python: [3"}, code: ridgeline.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			wish, ok, err := ModelWish(dir)
			if c.code != "" {
				if ridgeline.CodeOf(err) != c.code {
					t.Fatalf("%v, want %s", err, c.code)
				}
				return
			}
			if err != nil || ok != (c.file != "") || wish.File != c.file || wish.Version != c.version {
				t.Errorf("%+v %v %v", wish, ok, err)
			}
		})
	}
}
