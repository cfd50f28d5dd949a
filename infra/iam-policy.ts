import { stableJson } from "../core/names.ts";

/** One statement of an IAM, trust or key policy, in AWS's own words. */
export interface Statement {
	readonly Sid?: string;
	readonly Effect: "Allow" | "Deny";
	/** Left out in a policy that is attached to a role. */
	readonly Principal?: { readonly [kind: string]: string };
	readonly Action: readonly string[];
	/** Left out in a trust policy. */
	readonly Resource?: string | readonly string[];
	readonly Condition?: { readonly [operator: string]: { readonly [key: string]: string | readonly string[] } };
}

/** A policy as the JSON that AWS takes, with sorted keys, so that equal policies are equal strings. */
export function policyDocument(statements: readonly Statement[]): string {
	return stableJson({ Version: "2012-10-17", Statement: statements });
}
