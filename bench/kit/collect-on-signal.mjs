/** Loaded into a process before its own program: SIGPWR has it collect its garbage, so that its memory can be weighed. */
import v8 from "node:v8";
import vm from "node:vm";

v8.setFlagsFromString("--expose_gc");
const collect = vm.runInNewContext("gc");
process.on("SIGPWR", () => collect());
