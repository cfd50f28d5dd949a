/** What the Pulumi engine runs: the settings of its stack, read and checked, then the platform. */
import * as pulumi from "@pulumi/pulumi";
import { UserError } from "../core/errors.ts";
import { PROJECT } from "./config.ts";
import { parseSections } from "./load.ts";
import { platform } from "./platform.ts";

/** Every `agentic-flow:<section>`, as the engine hands it over: structured values as JSON, the rest as text. */
function sectionsOfEngine(): Record<string, unknown> {
	const own = Object.entries(pulumi.runtime.allConfig()).filter(([key]) => key.startsWith(`${PROJECT}:`));
	return Object.fromEntries(own.map(([key, value]) => [key.slice(PROJECT.length + 1), /^[{[]/.test(value) ? JSON.parse(value) : value]));
}

export default async function program(): Promise<Record<string, unknown>> {
	const stack = pulumi.getStack();
	try {
		return await platform(parseSections(`Pulumi.${stack}.yaml`, sectionsOfEngine()), stack);
	} catch (error) {
		// A RunError is shown by its message alone.
		throw error instanceof UserError ? new pulumi.RunError(error.message) : error;
	}
}
