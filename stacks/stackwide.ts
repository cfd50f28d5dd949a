import type * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "./config.ts";

/** What every part of the stack is told. */
export interface Stackwide {
	readonly config: StackConfig;
	readonly prefix: string;
	readonly accountId: string;
	readonly region: string;
	readonly protect: boolean;
	readonly tags: Readonly<Record<string, string>>;
	readonly opts: pulumi.ComponentResourceOptions;
}
