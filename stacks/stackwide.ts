import { Provider } from "@pulumi/aws/provider.js";
import type * as pulumi from "@pulumi/pulumi";
import { nameByContent, nameOf } from "../core/names.ts";
import { PROJECT, type StackConfig } from "./config.ts";

/** Longest prefix that leaves room for the rest of every name. */
const PREFIX_LENGTH = 24;

/** What every part of the stack is told. */
export interface Stackwide {
	readonly config: StackConfig;
	/** First part of every name on AWS: `agentic-flow-<stack>`. */
	readonly prefix: string;
	readonly accountId: string;
	readonly region: string;
	/** Refuse to delete what holds data. */
	readonly protect: boolean;
	/** Tags of everything on AWS. */
	readonly tags: Readonly<Record<string, string>>;
	/** For every component on AWS. */
	readonly opts: pulumi.ComponentResourceOptions;
}

/** The stack's provider for AWS, which refuses any other account, and what follows from its settings alone. */
export function stackwideOf(config: StackConfig, stack: string): Stackwide {
	const { accountId, region } = config.aws;
	const tags = { project: PROJECT, stack, ...config.aws.tags };
	const provider = new Provider("aws", { region, allowedAccountIds: [accountId], defaultTags: { tags } });
	return {
		config,
		prefix: prefixOf(stack),
		accountId,
		region,
		protect: config.environment === "production",
		tags,
		opts: { provider },
	};
}

/** `agentic-flow-<stack>`; with a hash where the stack's name had to be changed for it, so that two stacks never share one. */
function prefixOf(stack: string): string {
	const prefix = nameOf([PROJECT, stack], PREFIX_LENGTH);
	return prefix === `${PROJECT}-${stack}` ? prefix : nameByContent([PROJECT, stack], stack, PREFIX_LENGTH);
}
