// Run a Python program in Pyodide: node run.mjs INDEX REPOSITORY PACKAGES PROGRAM. Both folders are mounted.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [index, repository, packages, program] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${index}/pyodide.mjs`));
const pyodide = await loadPyodide({ indexURL: index });
for (const [path, root] of Object.entries({ "/repository": repository, "/packages": packages })) {
  pyodide.FS.mkdir(path);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root }, path);
}
pyodide.runPython("import sys; sys.dont_write_bytecode = True; sys.path += ['/repository', '/packages']");
await pyodide.runPythonAsync(readFileSync(program, "utf-8"));
