// Prints what the histories of some seeds come to in WebAssembly:
// `node roots.mjs MODULE.wasm FROM TO`. `src/main.rs` prints the same of the same code.
import { readFileSync, writeSync } from "node:fs";

const [file, from = "0", to = "100"] = process.argv.slice(2);
const module = new WebAssembly.Module(readFileSync(file));
const asked = WebAssembly.Module.imports(module);
if (asked.length > 0) {
  throw new Error(`the core asks its host for ${JSON.stringify(asked)}`);
}
const { words_of, word } = new WebAssembly.Instance(module, {}).exports;

for (let seed = BigInt(from); seed < BigInt(to); seed += 1n) {
  const words = Array.from({ length: words_of(seed) }, (_, at) =>
    BigInt.asUintN(64, word(at)).toString(16).padStart(16, "0"),
  );
  writeSync(1, `${seed} ${words.join(" ")}\n`);
}
