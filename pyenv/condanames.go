package pyenv

import "strings"

// twins are conda's packages that PyPI has under another name, written down
// from conda-forge's recipes, whose source says which project they build. A
// name that is the same on both sides is in sameNames; any other is an error,
// because the same name on PyPI may be somebody else's package.
var twins = map[string]string{
	"airflow": "apache-airflow", "backports.zoneinfo": "backports-zoneinfo", "brotli-python": "brotli", "cvxpy-base": "cvxpy",
	"dask-core": "dask", "faiss": "faiss-cpu", "geopandas-base": "geopandas", "google-cloud-storage-core": "google-cloud-storage",
	"great_expectations": "great-expectations", "huggingface_hub": "huggingface-hub", "importlib_metadata": "importlib-metadata",
	"importlib_resources": "importlib-resources", "ipython_genutils": "ipython-genutils", "jaraco.classes": "jaraco-classes",
	"jupyter_client": "jupyter-client", "jupyter_core": "jupyter-core", "jupyter_server": "jupyter-server", "kaleido-core": "kaleido",
	"matplotlib-base": "matplotlib", "msgpack-python": "msgpack", "opencv": "opencv-python", "pandera-base": "pandera",
	"pandera-core": "pandera", "prompt_toolkit": "prompt-toolkit", "psycopg2": "psycopg2-binary", "py-opencv": "opencv-python",
	"py-xgboost": "xgboost", "py-xgboost-cpu": "xgboost", "pyarrow-core": "pyarrow", "pyg": "torch-geometric", "pytables": "tables",
	"python-blosc": "blosc", "python-duckdb": "duckdb", "python-graphviz": "graphviz", "python-hdfs": "hdfs", "python-kaleido": "kaleido",
	"python-levenshtein": "levenshtein", "python-lmdb": "lmdb", "python-xxhash": "xxhash", "pytorch": "torch", "pytorch-gpu": "torch",
	"pytorch_geometric": "torch-geometric", "ray-core": "ray", "ray-data": "ray[data]", "ray-default": "ray[default]",
	"ray-serve": "ray[serve]", "ray-tune": "ray[tune]", "ruamel.yaml": "ruamel-yaml", "ruamel_yaml": "ruamel-yaml",
	"tensorflow-base": "tensorflow", "typing_extensions": "typing-extensions", "uvicorn-standard": "uvicorn[standard]",
	"zope.interface": "zope-interface",
}

// sameNames are packages that have one name on both sides.
var sameNames = strings.Fields(`
absl-py accelerate adlfs aiobotocore aiofiles aiohttp aiosignal alembic altair annotated-types anyio apache-airflow arch argon2-cffi
argparse arrow asgiref astropy asttokens async-timeout attrs autogluon azure-ai-ml azure-cli azure-core azure-identity
azure-keyvault-secrets azure-storage-blob azureml-core azureml-defaults azureml-mlflow azureml-sdk babel bandit bayesian-optimization bcrypt
beautifulsoup4 biopython black bleach blinker blis bokeh boto3 botocore bottleneck brotlipy build cachetools catalogue catboost
category-encoders category_encoders celery certifi cffi cftime chardet charset-normalizer click cloudpickle cmdstanpy colorama colorcet
coloredlogs colorlog comm configparser contextlib2 contourpy coverage cryptography cvxpy cycler cython cytoolz dash dask dask-ml
databricks-cli databricks-sdk dataclasses datasets datashader dateparser debugpy decorator deepdiff defusedxml deprecated dill diskcache
distlib distributed dnspython docker docker-py docopt docutils duckdb dvc einops elasticsearch emoji entrypoints et_xmlfile evaluate
evidently exceptiongroup executing fairlearn faiss-cpu fastapi fastparquet fasttext fbprophet feather-format featuretools filelock fiona
flake8 flake8_formatter_junit_xml flask flask-cors flask-restplus fonttools frozenlist fsspec ftfy future gast gcsfs gensim geopandas geopy
gevent gitdb gitpython google-api-core google-auth google-cloud-bigquery google-cloud-core google-cloud-storage googleapis-common-protos
great-expectations greenlet grpcio gunicorn h11 h5netcdf h5py hdbscan holidays holoviews httpcore httptools httpx hvplot hydra-core hyperopt
hypothesis idna imageio imagesize imbalanced-learn implicit inference-schema iniconfig interpret invoke ipykernel ipython ipywidgets isodate
isort itsdangerous jax jaxlib jedi jinja2 jmespath joblib json5 jsonpatch jsonpointer jsonschema jupyter jupyterlab jupytext kaleido kedro
keras keras-applications keyring kfp kiwisolver kubernetes langchain langdetect lazy_loader levenshtein librosa lifelines lightfm lightgbm
lightning llvmlite locket loguru lxml lz4 mako mapie markdown markupsafe marshmallow matplotlib matplotlib-inline mccabe mistune ml-dtypes
mlflow mlflow-skinny mlxtend mock modin more-itertools moto mpmath msal msrest multidict multiprocess munkres mypy mypy-extensions
mypy_extensions mysql-connector-python mysqlclient namex narwhals nbclient nbconvert nbformat neptune nest-asyncio netcdf4 networkx
nevergrad nltk nose notebook numba numcodecs numexpr numpy numpy-financial nvidia-ml-py oauthlib odfpy omegaconf onnx onnxmltools
onnxruntime openai opencv-python-headless openpyxl opentelemetry-api opentelemetry-sdk opt_einsum optree optuna orjson osqp packaging
palettable pandas pandas-datareader pandas-gbq pandas-profiling pandera panel papermill param paramiko parso partd pathspec patsy peewee
peft pendulum pexpect phik pillow pingouin platformdirs plotly plotnine pluggy pmdarima polars pooch portalocker pre-commit prefect preshed
progressbar2 prometheus-client prometheus_client propcache prophet protobuf psutil ptyprocess pulp py4j pyarrow pyasn1 pybind11 pycaret
pycocotools pycodestyle pycparser pydantic pydantic-core pydantic-settings pydeck pydot pydub pyflakes pygments pyjwt pylint pymc pymongo
pymoo pymssql pymupdf pymysql pynacl pyod pyodbc pyopenssl pyparsing pypdf pyproj pyproject_hooks pyreadstat pyro-ppl pysocks pyspark pystan
pytensor pytest pytest-asyncio pytest-cov pytest-mock pytest-timeout pytest-xdist python-dateutil python-dotenv python-geohash
python-json-logger python-multipart python-slugify python-snappy pytorch-lightning pytz pyviz_comms pywavelets pyyaml pyzmq qtpy quantstats
querystring_parser rapidfuzz rasterio ray rdflib redis regex requests requests-oauthlib responses rich rope rpds-py rsa ruff s3fs s3transfer
sacrebleu sacremoses safetensors salib schedule scikit-image scikit-learn scikit-learn-intelex scikit-optimize scikit-plot scikit-survival
scipy seaborn selenium sentence-transformers sentencepiece seqeval setuptools setuptools-scm shap shapely simplejson simpy six skl2onnx
sktime smart_open smmap sniffio snowflake-connector-python snowflake-snowpark-python sortedcontainers soundfile soupsieve spacy
spacy-transformers sphinx sqlalchemy sqlalchemy-utils sqlglot sqlparse sseclient stack_data starlette statsmodels streamlit structlog
surprise sympy tabulate tblib tenacity tensorboard tensorboardx tensorflow tensorflow-cpu tensorflow-datasets tensorflow-hub
tensorflow-probability termcolor terminado textblob threadpoolctl tifffile tiktoken timm tinycss2 tokenizers toml tomli tomlkit toolz
torchaudio torchmetrics torchvision tornado tox tpot tqdm traitlets transformers treelite trio trl tsfresh typeguard typer tzdata tzlocal
ujson umap-learn unidecode uritemplate urllib3 uvicorn uvloop vaex-core validators virtualenv voila wandb wasabi watchdog watchfiles wcwidth
webencodings websocket-client websockets werkzeug wheel widgetsnbextension word2vec wordcloud wrapt xarray xgboost xlrd xlsxwriter xlwt
xmltodict xxhash xyzservices yarl ydata-profiling yellowbrick yfinance zarr zict zipp zstandard
`)

// notOnPyPI says of a package of conda why it has no twin, and what to do.
func notOnPyPI(name string) (string, bool) {
	const (
		cuda     = "wheels on PyPI bring the CUDA they need: delete the line; for another CUDA name the framework's own index in python.indexes of ridgeline.yaml"
		wheels   = "wheels on PyPI bring it along: delete the line"
		compiler = "a compiler is the machine's to have: delete the line, or install it where Ridgeline runs"
		system   = "a program or library of the system, not of Python: install it where Ridgeline runs, or take it into the base image, and delete the line"
		r        = "R is not a package of PyPI: install R where Ridgeline runs, call Rscript in a step, and delete the line"
	)
	for _, k := range []struct {
		names []string // one that ends in * is a beginning
		hint  string
	}{
		{[]string{"cudatoolkit*", "cudnn*", "cuda", "cuda-*", "pytorch-cuda", "pytorch-mutex", "cpuonly", "pytorch-cpu", "nccl", "cutensor", "libcublas*", "libcusparse*", "libcufft*", "libcurand*"}, cuda},
		{[]string{"mkl", "mkl-*", "mkl_*", "blas", "libblas", "liblapack", "libcblas", "openblas*", "libopenblas*", "nomkl", "intel-openmp", "llvm-openmp", "libgcc*", "libstdcxx*", "libgfortran*", "_libgcc_mutex", "_openmp_mutex", "tk", "zlib", "bzip2", "xz", "readline", "sqlite", "libffi*", "ncurses", "ld_impl_linux-64", "ca-certificates", "openssl", "libuuid", "libnsl", "libzlib", "python_abi", "tbb", "libsqlite", "libexpat", "libxgboost", "_py-xgboost-mutex"}, wheels},
		{[]string{"gcc*", "gxx*", "g++*", "clang*", "gfortran*", "compilers", "c-compiler", "cxx-compiler", "fortran-compiler", "cmake", "make", "ninja", "rust", "go", "binutils*", "sysroot*"}, compiler},
		{[]string{"r", "r-*", "rpy2", "bioconductor-*"}, r},
		{[]string{"git", "git-lfs", "graphviz", "ffmpeg", "nodejs", "openjdk", "java-*", "jq", "curl", "wget", "gdal", "libgdal*", "geos", "proj", "hdf5", "libnetcdf", "poppler", "tesseract", "unixodbc", "postgresql", "mysql", "libpq", "spark", "hadoop", "docker-cli", "docker-compose", "kubectl", "terraform", "bash", "zsh", "tar", "unzip", "zip", "vim", "tmux", "htop", "conda", "mamba", "conda-*", "libmamba*", "micromamba", "openmpi", "mpich", "parallel", "samtools", "bcftools", "blast", "qt", "qt-*", "xorg-*", "libgl*", "mesa*", "snappy", "lame", "sox", "libsndfile", "eigen", "boost", "boost-cpp", "swig", "protobuf-compiler", "libprotobuf", "arpack", "suitesparse", "coin-or-cbc", "coincbc", "glpk", "ipopt", "h2o-py-sparkling"}, system},
	} {
		for _, n := range k.names {
			if begin, any := strings.CutSuffix(n, "*"); n == name || any && strings.HasPrefix(name, begin) {
				return k.hint, true
			}
		}
	}
	return "", false
}
