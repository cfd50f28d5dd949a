import { Job } from "@pulumi/kubernetes/batch/v1/job.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { commandOf, IMAGE_USER } from "../app/contract.ts";
import { nameByContent } from "../core/names.ts";
import { databaseEnvironment, environmentOf, type ServiceEndpoint } from "./app-environment.ts";
import { labelsOf } from "./labels.ts";
import { allow, blocks } from "./network-policies.ts";
import { mountsOf, type PodSize, resourcesOf, restrictedContainer, restrictedPod, scratch } from "./pod.ts";
import { type SecretNames, secretMounts } from "./secret-mount.ts";

/** Settings of {@link Migration}. */
export interface MigrationArgs {
	readonly namespace: pulumi.Input<string>;
	/** The server's image, by digest. */
	readonly image: pulumi.Input<string>;
	/** What tells this image from any other and is known beforehand, e.g. its digest. */
	readonly release: string;
	readonly size: PodSize;
	readonly postgresPrimary: ServiceEndpoint;
	/** Name of the database. */
	readonly database: string;
	/** Where PostgreSQL is: blocks of addresses. */
	readonly databaseCidrs: readonly string[];
	/** The administrator and the application's roles, whose passwords the migration sets. */
	readonly secrets: SecretNames<"postgresAdmin">;
	/** Rotation number of those passwords: a new one must be set in the database before anybody uses it. */
	readonly credentialVersion: number;
	/** Months of activities and events kept: partitions to make ahead and behind. */
	readonly retentionMonths: number;
	/** Pods to try after one that failed. */
	readonly retries: number;
	/** When to give up, all tries together, seconds. */
	readonly deadlineSeconds: number;
}

/**
 * Brings the database's schema and roles to where the image wants them, once for every image and every rotation of the
 * passwords. What uses the database depends on the component: the engine goes on when the Job has succeeded. Until then
 * the server's processes, which are given the role before as well, get in with that.
 */
export class Migration extends pulumi.ComponentResource {
	constructor(name: string, args: MigrationArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:components:Migration", name, {}, opts);
		const metadata = { name: "migrate", namespace: args.namespace, labels: labelsOf("migrate") };
		const account = new ServiceAccount(`${name}-account`, { metadata, automountServiceAccountToken: false }, { parent: this });
		const egress = [{ peers: blocks(args.databaseCidrs), ports: [args.postgresPrimary.port] }];
		const policy = new NetworkPolicy(`${name}-policy`, { metadata, spec: allow("migrate", { ingress: [], egress }) }, { parent: this });
		this.createJob(name, args, { metadata, account, policy });
		this.registerOutputs({});
	}

	/**
	 * A Job cannot be changed, so another one runs under another name. It is not cleaned up by a time to live: the engine
	 * would miss it, and run the migration again at the next deployment.
	 */
	private createJob(name: string, args: MigrationArgs, parts: Parts): Job {
		return new Job(
			`${name}-job`,
			{
				// A Job that failed never succeeds: the next update puts another in its place.
				metadata: { ...parts.metadata, name: jobName(args), annotations: { "pulumi.com/replaceUnready": "true" } },
				spec: {
					backoffLimit: args.retries,
					activeDeadlineSeconds: args.deadlineSeconds,
					template: { metadata: { labels: labelsOf("migrate") }, spec: podSpec(args, parts.account.metadata.name) },
				},
			},
			{
				parent: this,
				dependsOn: [parts.policy],
				customTimeouts: { create: `${args.deadlineSeconds + 60}s`, update: `${args.deadlineSeconds + 60}s` },
			},
		);
	}
}

interface Parts {
	readonly metadata: input.meta.v1.ObjectMeta;
	readonly account: ServiceAccount;
	readonly policy: NetworkPolicy;
}

/** Made of the settings that ask for another run, and of those that are part of the Job. */
function jobName({ release, size, database, credentialVersion, retentionMonths, retries, deadlineSeconds }: MigrationArgs): string {
	return nameByContent(["migrate"], { release, size, database, credentialVersion, retentionMonths, retries, deadlineSeconds });
}

function podSpec(args: MigrationArgs, serviceAccount: pulumi.Input<string>): input.core.v1.PodSpec {
	const mounts = mountsOf([secretMounts(args.secrets, ["postgresAdmin"]), scratch("tmp", "/tmp", Math.floor(args.size.ephemeralMib / 2))]);
	return {
		// Not on the app nodes: during an update those are full.
		...restrictedPod({ pool: "system", serviceAccount, user: IMAGE_USER }),
		restartPolicy: "Never",
		volumes: mounts.volumes,
		containers: [
			{
				name: "migrate",
				image: args.image,
				command: commandOf("migrate"),
				env: environmentOf({
					...databaseEnvironment({ primary: args.postgresPrimary, database: args.database }),
					retentionMonths: args.retentionMonths,
				}),
				resources: resourcesOf(args.size),
				securityContext: restrictedContainer,
				volumeMounts: mounts.volumeMounts,
			},
		],
	};
}
