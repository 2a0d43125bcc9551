// Bundles what the pages run: node build.mjs MODULES OUT. Each file's name has
// the hash of its content in it. charts is a file of its own, which only pages
// with a chart load.
import { createRequire } from "node:module";
import path from "node:path";

const [modules, out] = process.argv.slice(2).map((p) => path.resolve(p));
const { build } = createRequire(path.join(modules, "x.js"))("esbuild");

await build({
  entryPoints: { app: "src/app.js" },
  absWorkingDir: import.meta.dirname,
  nodePaths: [modules],
  bundle: true,
  minify: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  legalComments: "linked",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  outdir: out,
  logLevel: "warning",
});
