import { LifecyclePolicy } from "@pulumi/aws/ecr/lifecyclePolicy.js";
import { Repository } from "@pulumi/aws/ecr/repository.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";

/** Days after which an image that no tag points at is deleted: what a failed push leaves. */
const UNTAGGED_DAYS = 7;

export interface RegistryArgs {
	/** First part of the repository's name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** AWS account, twelve digits. */
	readonly accountId: string;
	readonly region: string;
	/** ARN of the KMS key that encrypts the images. */
	readonly keyArn: pulumi.Input<string>;
	/** Images kept; the oldest beyond them are deleted. */
	readonly keepImages: number;
	/** Refuse to delete it, and never delete images with it. */
	readonly protect: boolean;
}

/** The ECR repository of the server's image. Tags never move, and every image is scanned when pushed. */
export class Registry extends pulumi.ComponentResource {
	/** Where images are pushed and pulled, known before the repository exists: `<account>.dkr.ecr.<region>.amazonaws.com/<name>`. */
	readonly url: string;
	/** The same, known once the repository exists. */
	readonly repositoryUrl: pulumi.Output<string>;

	constructor(name: string, args: RegistryArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:Registry", name, {}, opts);
		const repositoryName = nameOf([args.prefix, "server"]);
		const repository = new Repository(
			`${name}-repository`,
			{
				name: repositoryName,
				imageTagMutability: "IMMUTABLE",
				imageScanningConfiguration: { scanOnPush: true },
				encryptionConfigurations: [{ encryptionType: "KMS", kmsKey: args.keyArn }],
				forceDelete: !args.protect,
			},
			{ parent: this, protect: args.protect },
		);
		new LifecyclePolicy(`${name}-lifecycle`, { repository: repository.name, policy: lifecyclePolicy(args.keepImages) }, { parent: this });
		this.url = `${args.accountId}.dkr.ecr.${args.region}.amazonaws.com/${repositoryName}`;
		this.repositoryUrl = repository.repositoryUrl;
		this.registerOutputs({ repositoryUrl: this.repositoryUrl });
	}
}

function lifecyclePolicy(keepImages: number): string {
	return JSON.stringify({
		rules: [
			{
				rulePriority: 1,
				description: "untagged images",
				selection: { tagStatus: "untagged", countType: "sinceImagePushed", countUnit: "days", countNumber: UNTAGGED_DAYS },
				action: { type: "expire" },
			},
			{
				// ECR wants the rule for any tag last.
				rulePriority: 2,
				description: "the oldest images",
				selection: { tagStatus: "any", countType: "imageCountMoreThan", countNumber: keepImages },
				action: { type: "expire" },
			},
		],
	});
}
