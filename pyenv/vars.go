package pyenv

import "os"

// Vars is the environment a command of the project gets: this environment's
// programs first on PATH, a home folder of its own, and nothing of the
// server's but where the machine's certificates are.
//
// Bytecode may be written: an environment is installed without it, and the
// first import of a package leaves it for all later ones (of scikit-learn,
// that saves seconds). It is all that is ever added to an environment.
func (e Env) Vars(home string) []string {
	vars := []string{
		"PATH=" + e.Bin + ":/usr/local/bin:/usr/bin:/bin",
		"VIRTUAL_ENV=" + e.Dir,
		"HOME=" + home,
		"LANG=C.UTF-8",
		"PYTHONUNBUFFERED=1",
		"PYTHONHASHSEED=0", // the same seed each time, so that the same inputs give the same model
	}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			vars = append(vars, name+"="+v)
		}
	}
	return vars
}
