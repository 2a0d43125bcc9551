package pyenv

// A Wish is what a project says about its Python environment. Names of files
// are relative to the project's folder.
type Wish struct {
	File        string   // what lists the packages, such as requirements.txt, uv.lock, poetry.lock or conda.yaml
	Version     string   // of Python, such as 3.11 or >=3.11,<3.13; empty: what File asks for, else the server's own
	Constraints []string // files of pins that apply to what is asked for
	Groups      []string // dependency groups, beside the default ones
	Extras      []string // of the project's optional dependencies
	Indexes     []Index  // in the order in which they are asked, before the server's own
}

// An Index is where packages are found. Its credentials are never in a wish:
// uv has them by the index's name, from UV_INDEX_<NAME>_USERNAME and
// UV_INDEX_<NAME>_PASSWORD, a keyring or a netrc file.
type Index struct {
	Name    string
	URL     string
	Default bool // instead of the server's own
}
