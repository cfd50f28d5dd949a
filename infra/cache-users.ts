import { User } from "@pulumi/aws/elasticache/user.js";
import { UserGroup } from "@pulumi/aws/elasticache/userGroup.js";
import * as pulumi from "@pulumi/pulumi";
import { RandomPassword } from "@pulumi/random/randomPassword.js";
import { nameOf } from "../core/names.ts";

/** ElastiCache's limit for the ids of users and of user groups. */
const ID_LENGTH = 40;

/**
 * A Redis cluster takes only users and groups of engine `redis`; a Valkey cluster takes both kinds. So these are always
 * `redis`, and moving a group to Valkey leaves its users alone. https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html
 */
const ENGINE = "redis";

/** One user of a cache. */
export interface CacheUser {
	/** What the client gives as its user name. */
	readonly name: string;
	/** Redis ACL rules without passwords, as ElastiCache writes them back: `on ~af:* &af:* -@all +@read`. */
	readonly accessString: string;
	/** One or two valid passwords. With two, the newer is current and rotation cuts nobody off. */
	readonly passwords: readonly pulumi.Input<string>[];
}

export interface CacheUsersArgs {
	/** First parts of the ids, unique in the account and region. */
	readonly idPrefix: readonly string[];
	readonly users: readonly CacheUser[];
}

/** Who may log in to a cache: the users given, and nobody without a name. */
export class CacheUsers extends pulumi.ComponentResource {
	readonly groupId: pulumi.Output<string>;

	constructor(name: string, args: CacheUsersArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:CacheUsers", name, {}, opts);
		const disabled = this.createDisabledDefault(name, args);
		const users = args.users.map((user) => this.createUser(name, args, user));
		const group = new UserGroup(
			`${name}-group`,
			{ userGroupId: idOf(args, "users"), engine: ENGINE, userIds: [disabled, ...users].map(({ userId }) => userId) },
			{ parent: this },
		);
		this.groupId = group.userGroupId;
		this.registerOutputs({ groupId: this.groupId });
	}

	/**
	 * Every group must have a user named `default`, and AWS's own may do everything without a password.
	 * This one is off; its password is there so that switching it on by hand opens nothing.
	 */
	private createDisabledDefault(name: string, args: CacheUsersArgs): User {
		const password = new RandomPassword(`${name}-default-password`, { length: 40, special: false }, { parent: this });
		return new User(
			`${name}-default`,
			{ userId: idOf(args, "default"), userName: "default", engine: ENGINE, accessString: "off -@all", passwords: [password.result] },
			{ parent: this },
		);
	}

	private createUser(name: string, args: CacheUsersArgs, user: CacheUser): User {
		return new User(
			`${name}-user-${user.name}`,
			{
				userId: idOf(args, user.name),
				userName: user.name,
				engine: ENGINE,
				accessString: user.accessString,
				passwords: [...user.passwords],
			},
			{ parent: this },
		);
	}
}

function idOf({ idPrefix }: CacheUsersArgs, last: string): string {
	return nameOf([...idPrefix, last], ID_LENGTH);
}
