/** Writes stacks/config.schema.json, which editors read. A test fails when it is not current. */
import { writeFileSync } from "node:fs";
import { stackFileSchema } from "../stacks/json-schema.ts";

writeFileSync(new URL("../stacks/config.schema.json", import.meta.url), `${JSON.stringify(stackFileSchema(), null, "\t")}\n`);
