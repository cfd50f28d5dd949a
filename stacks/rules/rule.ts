import type { Fault } from "../../core/errors.ts";
import type { StackConfig } from "../config.ts";

/** What must hold between settings. It is given complete, well-typed settings and reports every fault it finds. */
export type Rule = (config: StackConfig) => Fault[];
