package pyenv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// ModelWish reads what an MLflow folder says of its environment: the packages
// from requirements.txt, or conda.yaml where there is none, and the Python from
// python_env.yaml, of which the patch level is what somebody happened to have. It
// reports whether the folder says anything (mlflow.org: MLflow Models, storage
// format).
func ModelWish(folder string) (Wish, bool, error) {
	var wish Wish
	for _, name := range []string{"requirements.txt", "conda.yaml"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			wish.File = name
			break
		}
	}
	if wish.File == "" {
		return wish, false, nil
	}
	text, err := os.ReadFile(filepath.Join(folder, "python_env.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return wish, true, nil
	}
	if err != nil {
		return wish, false, err
	}
	var env struct {
		Python string `yaml:"python"`
	}
	if err := yaml.Unmarshal(text, &env); err != nil {
		return wish, false, ridgeline.Errorf(ridgeline.Invalid, "python_env.yaml of the model: %w", err)
	}
	if parts := strings.SplitN(env.Python, ".", 3); len(parts) > 1 {
		wish.Version = parts[0] + "." + parts[1]
	}
	return wish, true, nil
}
