import { accessRules } from "./access.ts";
import { capacityRules } from "./capacity.ts";
import { placeRules } from "./place.ts";
import { productionRules } from "./production.ts";
import type { Rule } from "./rule.ts";
import { timingRules } from "./timing.ts";
import { windowRules } from "./windows.ts";

/** Every rule between settings, by name, in the order in which faults are reported. */
export const rules: Readonly<Record<string, Rule>> = {
	...placeRules,
	...accessRules,
	...productionRules,
	...capacityRules,
	...timingRules,
	...windowRules,
};
