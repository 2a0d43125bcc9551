package pyenv

import (
	"slices"
	"strings"
	"testing"

	"github.com/ridgeline-mlops/ridgeline"
)

func TestReadConda(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		python string
		want   []string
	}{
		// Azure ML's architecture for Python models trains and scores with this one.
		"azure": {`
# Conda environment specification.
name: diabetes_regression_training_env
dependencies:
  # The python interpreter version.
  - python=3.7.*
  - pip

  - pip:
      # Base AzureML SDK
      - azureml-sdk==1.27.*
      - azureml-defaults==1.27.*
      # Training deps
      - scikit-learn
      - inference-schema[numpy-support]
      - azure-storage-blob
`, "==3.7.*", []string{"azureml-sdk==1.27.*", "azureml-defaults==1.27.*", "scikit-learn", "inference-schema[numpy-support]", "azure-storage-blob"}},
		// What MLflow writes beside a model.
		"mlflow": {`
channels:
- conda-forge
dependencies:
- python=3.11.7
- pip<=23.2.1
- pip:
  - mlflow==2.9.2
  - scikit-learn==1.3.2
name: mlflow-env
`, "==3.11.7.*", []string{"mlflow==2.9.2", "scikit-learn==1.3.2"}},
		"twins": {`
channels: [pytorch, conda-forge, nodefaults]
dependencies:
  - pytorch::pytorch=2.1
  - opencv
  - py-xgboost>=1.7,<2
  - conda-forge::msgpack-python 1.0.*
  - scikit-learn
  - PyYAML
  - ray-default==2.9.0
prefix: /home/me/miniconda3/envs/x
`, "", []string{"torch==2.1.*", "opencv-python", "xgboost>=1.7,<2", "msgpack==1.0.*", "scikit-learn", "pyyaml", "ray[default]==2.9.0"}},
		"exported": {`
dependencies:
  - numpy=1.26.4=py311h64a7726_0
  - pytz=2024.1=pyhd8ed1ab_0
  - pandas=2.2.0=py311hd9cfdd1_0
  - lxml[version='>=5,<6',channel=conda-forge]
  - scipy >=1.11, <2
  - joblib!=1.1.*
  - tqdm 4.66.1
  - requests>=2.31.*
  - pyarrow<15.0.0a0
  - attrs 23.2.0 pyh71513ae_0
`, "", []string{"numpy==1.26.4", "pytz==2024.1", "pandas==2.2.0", "lxml>=5,<6", "scipy>=1.11,<2", "joblib!=1.1.*", "tqdm==4.66.1", "requests>=2.31", "pyarrow<15.0.0", "attrs==23.2.0"}},
		"a range of python": {"dependencies: ['python>=3.9,<3.12', {pip: }]\n", ">=3.9,<3.12", nil},
	} {
		env, err := readConda("conda.yaml", []byte(tt.text))
		if err != nil || strings.Join(env.python, " ") != tt.python || !slices.Equal(env.requirements, tt.want) {
			t.Errorf("%s: %v\ngot  %q %q\nwant %q %q", name, err, env.python, env.requirements, tt.python, tt.want)
		}
	}
}

func TestReadConda_cannot(t *testing.T) {
	// The build agent's environment of the same architecture, and more.
	_, err := readConda("ci_dependencies.yml", []byte(`name: mlopspython_ci
dependencies:
  - python=3.7.*
  - numpy=1.18.*
  - r=3.6.0
  - r-essentials=3.6.0
  - conda-forge::jq
  - pip=20.0.*
  - cudatoolkit=11.8
  - pytorch=2.1.0=py3.11_cuda11.8_cudnn8.7.0_0
  - mkl
  - gxx_linux-64
  - our-own-tools=2
  - numpy 1.2|1.3
  - [a, list]
  - pip:
      - azureml-sdk==1.27.*
      - {a: map}
variables:
  MODE: fast
category: main
`))
	if ridgeline.CodeOf(err) != ridgeline.Invalid {
		t.Fatal(err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		"ci_dependencies.yml: 13 lines cannot be mapped; all else in it can",
		"line 5: r=3.6.0: R is not a package of PyPI",
		"line 6: r-essentials=3.6.0: R is not",
		"line 7: conda-forge::jq: a program or library of the system",
		"line 9: cudatoolkit=11.8: wheels on PyPI bring the CUDA they need",
		"line 10: pytorch=2.1.0=py3.11_cuda11.8_cudnn8.7.0_0: PyPI has no choice of builds",
		"line 11: mkl: wheels on PyPI bring it along: delete the line",
		"line 12: gxx_linux-64: a compiler",
		"line 13: our-own-tools=2: not known to be the same package on PyPI: when it is, move the line to the list under `pip:`, as our-own-tools==2.*",
		"line 14: numpy 1.2|1.3: the version is not one that pip could look for",
		"line 15: dependencies: expected a package",
		"line 18: pip: expected a line of a requirements file",
		"line 19: variables: set them in the commands",
		"line 21: category: not known",
	} {
		if i >= len(lines) || !strings.HasPrefix(strings.TrimSpace(lines[i]), want) {
			t.Errorf("line %d: want %q in:\n%s", i, want, err)
		}
	}
	if len(lines) != 14 {
		t.Errorf("%d lines:\n%s", len(lines), err)
	}
	for name, text := range map[string]string{"empty": "", "a list": "- six\n", "no dependencies": "name: x\n", "broken": "a: [\n"} {
		if _, err := readConda("conda.yaml", []byte(text)); ridgeline.CodeOf(err) != ridgeline.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A line in one table must not be in another.
func TestConda_names(t *testing.T) {
	for _, name := range append(keys(twins), sameNames...) {
		if hint, ok := notOnPyPI(name); ok {
			t.Errorf("%s has a twin, and not: %s", name, hint)
		}
	}
	for _, name := range sameNames {
		if twin, ok := twins[name]; ok {
			t.Errorf("%s is the same, and %s", name, twin)
		}
	}
}

func TestLock_conda(t *testing.T) {
	index := newIndex(t, "", "")
	for _, name := range []string{"torch", "six", "mytools"} {
		index.add(wheel(t, name, "1.0", "py3-none-any"))
		index.add(wheel(t, name, "2.0", "py3-none-any"))
	}
	freshCache(t)
	t.Setenv("UV_DEFAULT_INDEX", index.simple())
	m := manager(t, t.TempDir())
	own, err := m.defaultInterpreter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"env/conda.yaml": "dependencies:\n  - python=" + own.minor() + "\n  - pytorch\n  - pip:\n    - mytools<2\n    - -r more.txt\n",
		"env/more.txt":   "six\n",
		"pins.txt":       "torch==1.0\n",
	}
	lock, err := m.Lock(t.Context(), project(t, files), Wish{File: "env/conda.yaml", Constraints: []string{"pins.txt"}}, nil)
	if got, want := strings.Join(packages(lock.Text), ", "), "mytools 1.0, six 2.0, torch 1.0"; err != nil || got != want {
		t.Errorf("got %s, want %s: %v", got, want, err)
	}
	files["env/more.txt"] = "six==1.0\n"
	lock, err = m.Lock(t.Context(), project(t, files), Wish{File: "env/conda.yaml"}, nil)
	if got, want := strings.Join(packages(lock.Text), ", "), "mytools 1.0, six 1.0, torch 2.0"; err != nil || got != want {
		t.Errorf("got %s, want %s: %v", got, want, err)
	}
	files["env/conda.yaml"] = strings.Replace(files["env/conda.yaml"], own.minor(), "3.7", 1)
	_, err = m.Lock(t.Context(), project(t, files), Wish{File: "env/conda.yaml"}, nil)
	if ridgeline.CodeOf(err) != ridgeline.Invalid || !strings.Contains(err.Error(), "wants Python ==3.7.* (python of env/conda.yaml)") || !strings.Contains(err.Error(), "python.version") {
		t.Errorf("an old Python: %v", err)
	}
}
