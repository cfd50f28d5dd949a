/**
 * Generated secrets: made by the engine, kept in Secrets Manager, never written by hand.
 *
 * Each value is a resource of its own, named by its version number. So when the version goes from 3 to 4, v4 is made
 * anew while v3 keeps the very value it had: as the previous one it stays valid until everybody has read the new one.
 * The version goes up one at a time.
 */

import { Secret } from "@pulumi/aws/secretsmanager/secret.js";
import { SecretVersion } from "@pulumi/aws/secretsmanager/secretVersion.js";
import * as pulumi from "@pulumi/pulumi";
import { RandomPassword } from "@pulumi/random/randomPassword.js";

/**
 * Letters and digits are accepted everywhere: RDS forbids `/ @ "` and spaces, ElastiCache `, " / @`, and URLs want
 * more escaped. 40 of them are 238 bits, within ElastiCache's 16 to 128 and RDS's 8 to 128 characters.
 * https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html
 */
const VALUE_LENGTH = 40;

export interface SecretArgs {
	/** First part of the secret's name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** What the secret is for: the second part of its name, `<prefix>/<purpose>`. */
	readonly purpose: string;
	/** Rotation number, from 1. */
	readonly version: number;
	/** ARN of the KMS key that encrypts it. */
	readonly keyArn: pulumi.Input<string>;
	/** Days in which a deleted secret can be brought back: 7 to 30, or 0 for none. Its name is taken as long. */
	readonly recoveryDays: number;
	/** Refuse to delete it. */
	readonly protect: boolean;
}

/** Who one is and how one proves it. */
export interface Login {
	readonly username: string;
	readonly password: pulumi.Output<string>;
}

export interface LoginSecretArgs extends SecretArgs {
	readonly username: string;
}

/** One user. Where the service lets a user have two passwords, rotation cuts nobody off. Stored as `{username, password}`. */
export class LoginSecret extends pulumi.ComponentResource implements Login {
	readonly username: string;
	readonly password: pulumi.Output<string>;
	/** The password of the version before. */
	readonly previousPassword: pulumi.Output<string>;
	readonly arn: pulumi.Output<string>;

	constructor(name: string, args: LoginSecretArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:LoginSecret", name, {}, opts);
		this.username = args.username;
		this.password = valueAt(name, args.version, this);
		this.previousPassword = valueAt(name, args.version - 1, this);
		this.arn = store(name, args, { username: this.username, password: this.password }, this);
		this.registerOutputs({ arn: this.arn });
	}
}

export interface AlternatingLoginSecretArgs extends SecretArgs {
	/** The two users: one for odd versions, one for even ones. */
	readonly usernames: { readonly odd: string; readonly even: string };
}

/**
 * Two users that take turns, for a service whose users have one password each: the version says whose turn it is, and
 * both passwords hold. Stored as the current one's `{username, password}`.
 */
export class AlternatingLoginSecret extends pulumi.ComponentResource {
	readonly current: Login;
	/** The user of the version before, which clients may still be connected as. */
	readonly previous: Login;
	readonly arn: pulumi.Output<string>;

	constructor(name: string, args: AlternatingLoginSecretArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:AlternatingLoginSecret", name, {}, opts);
		this.current = loginAt(name, args, args.version, this);
		this.previous = loginAt(name, args, args.version - 1, this);
		this.arn = store(name, args, this.current, this);
		this.registerOutputs({ arn: this.arn });
	}
}

/** A key that signs and the one before it, whose signatures still hold. Stored as `{current, previous}`. */
export class SigningKeySecret extends pulumi.ComponentResource {
	readonly current: pulumi.Output<string>;
	readonly previous: pulumi.Output<string>;
	readonly arn: pulumi.Output<string>;

	constructor(name: string, args: SecretArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:SigningKeySecret", name, {}, opts);
		this.current = valueAt(name, args.version, this);
		this.previous = valueAt(name, args.version - 1, this);
		this.arn = store(name, args, { current: this.current, previous: this.previous }, this);
		this.registerOutputs({ arn: this.arn });
	}
}

function loginAt(name: string, { usernames }: AlternatingLoginSecretArgs, version: number, parent: pulumi.Resource): Login {
	return { username: version % 2 === 1 ? usernames.odd : usernames.even, password: valueAt(name, version, parent) };
}

/** The value of one version: the same for as long as some version needs it. */
function valueAt(name: string, version: number, parent: pulumi.Resource): pulumi.Output<string> {
	const value = new RandomPassword(
		`${name}-v${version}`,
		{ length: VALUE_LENGTH, special: false, keepers: { version: `${version}` } },
		{ parent },
	);
	return value.result;
}

function store(name: string, args: SecretArgs, content: object, parent: pulumi.Resource): pulumi.Output<string> {
	const secret = new Secret(
		`${name}-secret`,
		{ name: `${args.prefix}/${args.purpose}`, kmsKeyId: args.keyArn, recoveryWindowInDays: args.recoveryDays },
		{ parent, protect: args.protect },
	);
	new SecretVersion(`${name}-value`, { secretId: secret.id, secretString: pulumi.jsonStringify(content) }, { parent });
	return secret.arn;
}
