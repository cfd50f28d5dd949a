/**
 * The settings of a stack: their shape, their meaning and every default. Nothing below this file has a default.
 * A `Pulumi.<stack>.yaml` gives one value a section, as `agentic-flow:<section>`.
 */
import { z } from "zod";
import { workersPerPod } from "../app/contract.ts";
import { type CacheNodeType, cacheNodeTypes, databaseClasses } from "../infra/database-classes.ts";
import { instanceTypes } from "../infra/instance-types.ts";

const whole = (min: number, max: number) => z.int().min(min).max(max);
/** Text of one form; `form` says which in a user's words. */
const text = (pattern: RegExp, form: string) => z.string({ error: form }).regex(pattern, { error: form });
const namesOf = <T extends object>(table: T) => Object.keys(table) as [keyof T & string, ...(keyof T & string)[]];
/** What CloudWatch lets one choose. https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html */
const logDays = () => z.literal([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]);
const TIME = "([01]\\d|2[0-3]):[0-5]\\d";
const WEEK_TIME = `(mon|tue|wed|thu|fri|sat|sun):${TIME}`;
const dailyWindow = () => text(new RegExp(`^${TIME}-${TIME}$`), "a time of day in UTC, e.g. 01:00-02:00");
const weeklyWindow = () => text(new RegExp(`^${WEEK_TIME}-${WEEK_TIME}$`), "a time of the week in UTC, e.g. sun:03:00-sun:04:00");
const cidr = () => z.cidrv4().refine(beginsItsBlock, { error: "an IPv4 block by its first address, e.g. 203.0.113.0/24" });
const hostname = () => text(/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/, "a host name in lower case, e.g. agents.example.com");
const ORIGIN = "an origin as browsers send it, e.g. https://agents.example.com";
const origin = () =>
	z.url({ protocol: /^https?$/, error: ORIGIN, abort: true }).refine((url) => new URL(url).origin === url, { error: ORIGIN });
const roleArn = () =>
	text(/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/, "an IAM role's ARN, e.g. arn:aws:iam::111122223333:role/deploy");

const addonVersion = (version: string) =>
	text(/^v\d+\.\d+\.\d+-eksbuild\.\d+$/, "an add-on version, e.g. v1.22.4-eksbuild.3").default(version);

/** What one pod asks of its node. Memory is also its limit. */
const compute = (milliCpu: number, memoryMib: number) =>
	z
		.strictObject({
			milliCpu: whole(50, 64_000).default(milliCpu).describe("Thousandths of a CPU that one pod requests."),
			memoryMib: whole(64, 262_144).default(memoryMib).describe("Mebibytes that one pod requests, and may use."),
		})
		.prefault({});

const aws = z
	.strictObject({
		accountId: text(/^\d{12}$/, "twelve digits, in quotes").describe("The AWS account. A run with credentials of another one is refused."),
		region: text(/^[a-z]{2}(-[a-z]+)+-\d$/, "an AWS region, e.g. eu-west-1").describe("The AWS region of everything in the stack."),
		availabilityZones: z
			.array(text(/^[a-z]{2,4}[a-z]*\d-az\d$/, "an availability zone's id, e.g. euw1-az1"))
			.min(2)
			.max(6)
			.describe("Availability zone ids (not names: those differ between accounts). Append to grow; never reorder."),
		deployRoleArn: roleArn().describe("The role that runs `pulumi up`. It administers the cluster."),
		adminRoleArns: z.array(roleArn()).default([]).describe("More roles that may administer the cluster."),
		tags: z.record(z.string().min(1).max(128), z.string().max(256)).default({}).describe("Tags put on every AWS resource."),
	})
	.describe("Where the stack lives.");

const network = z
	.strictObject({
		cidr: cidr().default("10.40.0.0/16").describe("Addresses of the VPC, /16 to /20. Cannot change later."),
		maxAvailabilityZones: whole(2, 6)
			.default(4)
			.describe("Zones the subnets are laid out for, so that adding one moves none. Cannot change later."),
		natGateways: z
			.enum(["one", "perZone"])
			.default("perZone")
			.describe("One NAT gateway is cheaper; one a zone survives the loss of a zone."),
		interfaceEndpoints: z
			.array(
				z.enum([
					"autoscaling",
					"ec2",
					"ecr.api",
					"ecr.dkr",
					"eks",
					"eks-auth",
					"elasticloadbalancing",
					"kms",
					"logs",
					"secretsmanager",
					"sts",
				]),
			)
			.default(["ec2", "ecr.api", "ecr.dkr", "eks-auth", "logs", "sts"])
			.describe("AWS services reached without leaving the VPC. Each costs by the hour and zone."),
		flowLogDays: logDays().default(90).describe("Days that VPC flow logs are kept."),
	})
	.prefault({})
	.describe("VPC, subnets and ways out.");

const cluster = z
	.strictObject({
		version: z
			.enum(["1.34", "1.35", "1.36"])
			.default("1.35")
			.describe("Kubernetes version. 1.34 leaves standard support on 2 December 2026, 1.35 on 27 March 2027."),
		publicAccessCidrs: z
			.array(cidr())
			.default([])
			.describe("Who may reach the cluster's API over the internet. Empty: nobody; run `pulumi up` from inside the VPC."),
		privateAccessCidrs: z
			.array(cidr())
			.default([])
			.describe("Who may reach the cluster's API inside the network, beside its nodes: a runner in a peered VPC, a VPN."),
		logTypes: z
			.array(z.enum(["api", "audit", "authenticator", "controllerManager", "scheduler"]))
			.default(["api", "audit", "authenticator", "controllerManager", "scheduler"])
			.describe("Control-plane logs sent to CloudWatch."),
		logDays: logDays().default(365).describe("Days that control-plane logs are kept."),
		supportType: z
			.enum(["STANDARD", "EXTENDED"])
			.default("STANDARD")
			.describe("What happens when a version's standard support ends: an upgrade, or a higher bill."),
		deletionProtection: z.boolean().default(true).describe("AWS refuses to delete the cluster while this is on."),
		addons: z
			.strictObject({
				vpcCni: addonVersion("v1.22.4-eksbuild.3").describe("vpc-cni: pod addresses and network policies."),
				kubeProxy: addonVersion("v1.35.3-eksbuild.21").describe("kube-proxy: of the cluster's own minor version."),
				podIdentityAgent: addonVersion("v1.3.10-eksbuild.3").describe("eks-pod-identity-agent: credentials for pods."),
				coredns: addonVersion("v1.13.2-eksbuild.21").describe("coredns: names inside the cluster."),
				ebsCsiDriver: addonVersion("v1.57.1-eksbuild.1").describe("aws-ebs-csi-driver: volumes."),
				metricsServer: addonVersion("v0.8.0-eksbuild.6").describe("metrics-server: what the pod autoscaler looks at."),
				nodeMonitoringAgent: addonVersion("v1.6.5-eksbuild.1").describe("eks-node-monitoring-agent: finds sick nodes for repair."),
			})
			.prefault({})
			.describe("Pinned add-on versions. `aws eks describe-addon-versions --kubernetes-version <version>` lists what fits."),
	})
	.prefault({})
	.describe("The EKS control plane.");

const nodes = z
	.strictObject({
		app: z
			.strictObject({
				instanceType: z
					.enum(namesOf(instanceTypes))
					.default("m7i.2xlarge")
					.describe("EC2 type of the nodes that run the server and the job workers."),
				min: whole(2, 20).default(2).describe("Fewest nodes."),
				max: whole(2, 20).default(20).describe("Most nodes. The autoscaler moves between the two."),
				diskGib: whole(20, 2048).default(80).describe("Root disk, GiB."),
			})
			.prefault({}),
		system: z
			.strictObject({
				instanceType: z
					.enum(namesOf(instanceTypes))
					.default("m7i.xlarge")
					.describe("EC2 type of the nodes that run HAProxy, terminals and the cluster's own services."),
				min: whole(2, 12).default(3).describe("Fewest nodes, all groups together."),
				max: whole(2, 24).default(6).describe("Most nodes, all groups together."),
				diskGib: whole(20, 2048).default(80).describe("Root disk, GiB."),
				groupPerZone: z.boolean().default(true).describe("One group a zone, so that a volume always finds a node in its zone."),
			})
			.prefault({}),
	})
	.prefault({})
	.describe("EC2 nodes, in two pools.");

const autoscaler = z
	.strictObject({
		unneededMinutes: whole(1, 120).default(10).describe("How long a node must have been of no use before it goes."),
		delayAfterAddMinutes: whole(1, 120).default(10).describe("How long no node goes after one has come."),
		utilizationPercent: whole(10, 90)
			.default(50)
			.describe("Requested share of a node below which it is of no use if its pods fit elsewhere."),
	})
	.prefault({})
	.describe("What adds and takes away nodes.");

const imageByDigest = () => text(/^[^\s@]+@sha256:[0-9a-f]{64}$/, "an image by digest: <repository>@sha256:<64 hex digits>");

const app = z
	.strictObject({
		image: imageByDigest().optional().describe("The server's image, by digest. A preview works without one; `pulumi up` does not."),
		podsPerNode: whole(1, 4).default(2).describe("Pods of the server on each app node."),
		workersPerPod: whole(workersPerPod.min, workersPerPod.max)
			.default(4)
			.describe("PM2 workers in a pod. Pods x workers is 4 to 8 a node."),
		pod: compute(3200, 10_240),
		socketsPerWorker: whole(100, 20_000).default(4000).describe("WebSockets that HAProxy gives one worker at most."),
		requestsPerWorker: whole(8, 4096)
			.default(128)
			.describe("HTTP requests that HAProxy has under way at one worker; more wait in its queue."),
		cpuTargetPercent: whole(20, 95).default(65).describe("CPU use, of what is requested, that the pod autoscaler aims for."),
		preStopSeconds: whole(0, 300).default(15).describe("How long a stopping pod still serves while the load balancer forgets it."),
		drainSeconds: whole(1, 900).default(45).describe("How long a stopping worker may take to finish requests and move its sockets."),
		terminationGraceSeconds: whole(10, 1800).default(90).describe("When Kubernetes kills a pod that has not stopped."),
		allowedOrigins: z.array(origin()).default([]).describe("Browser origins allowed beside the stack's own."),
		keepImages: whole(5, 1000).default(50).describe("Images that the registry keeps; the oldest beyond them are deleted."),
		migration: z
			.strictObject({
				retries: whole(0, 10).default(3).describe("Times that a failed migration is tried again."),
				deadlineSeconds: whole(60, 7200).default(900).describe("When a migration is given up, all tries together."),
			})
			.prefault({}),
		retentionMonths: whole(1, 120).default(12).describe("Months of activities and events kept; older partitions are dropped."),
	})
	.prefault({})
	.describe("The server.");

const jobs = z
	.strictObject({
		minPods: whole(1, 20).default(2).describe("Fewest job worker pods."),
		maxPods: whole(1, 40).default(20).describe("Most job worker pods."),
		concurrency: whole(1, 200).default(20).describe("Jobs one pod works on at once."),
		pod: compute(1000, 3072),
		cpuTargetPercent: whole(20, 95).default(70).describe("CPU use that the pod autoscaler aims for."),
		drainSeconds: whole(1, 900).default(60).describe("How long a stopping worker may take to finish its jobs."),
		terminationGraceSeconds: whole(10, 1800).default(90).describe("When Kubernetes kills a pod that has not stopped."),
	})
	.prefault({})
	.describe("The job workers.");

const terminals = z
	.strictObject({
		enabled: z.boolean().default(false).describe("Gives users shells on hosts of their own, away from every credential."),
		image: imageByDigest()
			.optional()
			.describe("The terminal hosts' image, by digest: app/Dockerfile's target terminal-host. As app.image, but with a shell."),
		hosts: whole(1, 10).default(2).describe("Terminal hosts."),
		pod: compute(500, 2048),
		drainSeconds: whole(1, 3600).default(600).describe("How long users' sessions outlive the order to stop."),
		terminationGraceSeconds: whole(10, 7200).default(660).describe("When Kubernetes kills a host that has not stopped."),
	})
	.prefault({})
	.describe("Users' shells.");

const loadBalancer = z
	.strictObject({
		allowedCidrs: z
			.array(cidr())
			.default([])
			.describe("Without a domain: who may reach the load balancer over the internet. Empty: it is internal."),
		webSockets: whole(100, 1_000_000).default(50_000).describe("WebSockets held while one HAProxy is away."),
		stickyKey: text(/^[\w.-]{16,64}$/, "16 to 64 letters, digits, `.`, `_` or `-`").describe(
			"Makes every worker's sticky cookie. Not a secret; the same on every HAProxy. A change moves every client once.",
		),
		haproxy: z
			.strictObject({
				replicas: whole(2, 12).default(3).describe("HAProxy pods, each on a node of its own."),
				maxConnections: whole(1000, 200_000).default(30_000).describe("Client connections one HAProxy holds."),
				pod: compute(1000, 2048),
				checkSeconds: whole(1, 60).default(2).describe("How often each worker is checked."),
				resolveSeconds: whole(1, 60).default(2).describe("How often the workers' addresses are looked up."),
				holdSeconds: whole(0, 300).default(5).describe("How long a worker stays after its address left the DNS."),
				preStopSeconds: whole(5, 300).default(20).describe("How long a stopping HAProxy still serves while the ALB notices."),
				hardStopSeconds: whole(1, 3600).default(60).describe("How long its open connections may then last."),
				terminationGraceSeconds: whole(10, 7200).default(100).describe("When Kubernetes kills it."),
			})
			.prefault({}),
		healthCheck: z
			.strictObject({
				intervalSeconds: whole(5, 300).default(5).describe("How often the ALB checks each HAProxy."),
				timeoutSeconds: whole(2, 120).default(3).describe("When a check has failed."),
				unhealthyThreshold: whole(2, 10).default(2).describe("Failed checks in a row that take an HAProxy out."),
				healthyThreshold: whole(2, 10).default(2).describe("Good checks in a row that take it in."),
			})
			.prefault({}),
		timeouts: z
			.strictObject({
				pingSeconds: whole(1, 300).default(25).describe("How often an idle WebSocket is pinged."),
				albIdleSeconds: whole(1, 4000).default(120).describe("When the ALB closes a silent connection."),
				haproxyIdleSeconds: whole(1, 4000).default(150).describe("When HAProxy closes a silent client connection or tunnel."),
				keepAliveSeconds: whole(1, 7200).default(180).describe("When a worker closes a silent connection."),
				clientKeepAliveSeconds: whole(60, 604_800).default(3600).describe("How long the ALB uses one client connection for new requests."),
				responseSeconds: whole(1, 600).default(60).describe("How long HAProxy waits for a worker's answer."),
				queueSeconds: whole(1, 60).default(5).describe("How long a request may wait for a free worker."),
				headerSeconds: whole(1, 60).default(10).describe("How long a client may take to send its request's headers."),
			})
			.prefault({}),
		webAclRequestsPerFiveMinutes: whole(100, 2_000_000_000)
			.default(300_000)
			.describe("Requests from one address in five minutes before the web ACL blocks it."),
		accessLogDays: whole(1, 3653).default(90).describe("Days that access logs are kept."),
		deletionProtection: z.boolean().default(true).describe("AWS refuses to delete the load balancer while this is on."),
	})
	.describe("The ALB and, behind it, HAProxy.");

const domain = z
	.strictObject({
		name: hostname().describe("The name users type. Its certificate and DNS records are made here."),
		alternativeNames: z.array(hostname()).default([]).describe("More names on the same certificate."),
		hostedZoneId: text(/^Z[A-Z0-9]+$/, "a Route 53 hosted zone id, e.g. Z0123456789ABCDEFGHIJ").describe(
			"The public hosted zone that holds the names.",
		),
	})
	.describe("The public name. With it: HTTPS only and a web ACL. Without it: HTTP, internal or limited to allowedCidrs.");

const redisGroup = (nodeType: CacheNodeType, replicas: number, snapshotDays: number) =>
	z
		.strictObject({
			nodeType: z.enum(namesOf(cacheNodeTypes)).default(nodeType).describe("ElastiCache node type."),
			replicas: whole(0, 5).default(replicas).describe("Replicas, each in another zone. With none there is no failover."),
			snapshotDays: whole(1, 35).default(snapshotDays).describe("Days that daily snapshots are kept."),
		})
		.prefault({});

const redis = z
	.strictObject({
		engine: z
			.enum(["redis", "valkey"])
			.default("redis")
			.describe("Valkey is cheaper; a change upgrades in place and there is no way back."),
		version: z.enum(["7.1", "7.2", "8.0", "8.1", "8.2"]).default("7.1").describe("Redis stops at 7.1; Valkey has 7.2 and 8.0 to 8.2."),
		snapshotWindow: dailyWindow().default("01:00-02:00").describe("When snapshots are taken, UTC."),
		maintenanceWindow: weeklyWindow().default("sun:04:00-sun:05:00").describe("When AWS may maintain the nodes, UTC."),
		logDays: logDays().default(30).describe("Days that slow commands are kept in CloudWatch."),
		state: redisGroup("cache.r7g.large", 1, 7).describe("Sessions, streams, queues, terminal routing: never evicted."),
		cache: redisGroup("cache.r7g.large", 1, 1).describe("API responses: the least recently used goes first."),
	})
	.prefault({})
	.describe("ElastiCache, in two groups, so that a full cache never stops a job.");

const postgres = z
	.strictObject({
		version: z.enum(["16", "17", "18"]).default("17").describe("PostgreSQL major version. Minor ones follow by themselves."),
		instanceClass: z
			.enum(namesOf(databaseClasses))
			.default("db.r7g.xlarge")
			.describe("RDS instance class of the primary and of every replica."),
		storageGib: whole(20, 65_536).default(200).describe("Storage at first, GiB."),
		maxStorageGib: whole(20, 65_536).default(1000).describe("How far storage may grow by itself, GiB."),
		multiAz: z.boolean().default(true).describe("A synchronous standby in another zone takes over when the primary fails."),
		replicas: whole(0, 5).default(2).describe("Read replicas."),
		backupDays: whole(0, 35).default(14).describe("Days back to which the database can be restored, to the second."),
		backupWindow: dailyWindow().default("01:00-02:00").describe("When backups are taken, UTC."),
		maintenanceWindow: weeklyWindow().default("sun:03:00-sun:04:00").describe("When AWS may maintain the instances, UTC."),
		logDays: logDays().default(90).describe("Days that the database's logs are kept in CloudWatch."),
		deletionProtection: z.boolean().default(true).describe("AWS refuses to delete the database while this is on."),
		advancedInsights: z.boolean().default(false).describe("Database Insights in its advanced, paid mode."),
		poolPrimary: whole(1, 50).default(4).describe("Connections one worker opens to the primary at most."),
		poolReplica: whole(1, 50).default(4).describe("Connections one worker opens to each replica at most."),
	})
	.prefault({})
	.describe("RDS PostgreSQL.");

const secrets = z
	.strictObject({
		databaseVersion: whole(1, 9999)
			.default(1)
			.describe("Raise by one to rotate the database password. Two roles alternate, so nothing is cut off."),
		redisVersion: whole(1, 9999).default(1).describe("Raise by one to rotate the Redis passwords."),
		sessionVersion: whole(1, 9999).default(1).describe("Raise by one to rotate the key that signs sessions. The previous one stays valid."),
		recoveryDays: z
			.literal([0, 7, 14, 30])
			.default(30)
			.describe("Days in which a deleted secret can be brought back; its name is taken as long. Keys: 7 at least."),
	})
	.prefault({})
	.describe("Generated secrets, by version number. No secret value is ever in this file.");

/** The Pulumi project's name: the namespace of every setting, and the first part of every name. */
export const PROJECT = "agentic-flow";

/** One value for each section of a stack file. */
export const sections = {
	environment: z
		.enum(["development", "production"])
		.describe("Production insists on a domain, three zones, standbys, backups and protection."),
	delivery: z
		.enum(["pulumi", "gitops"])
		.default("pulumi")
		.describe("Who applies the app's Kubernetes objects: `pulumi up`, or a GitOps pipeline from `flowctl render`."),
	imageRegistry: text(/^[a-z0-9.-]+(:\d+)?(\/[a-z0-9._/-]+)?$/, "a registry, e.g. mirror.example.com/docker")
		.optional()
		.describe("A mirror that holds the third-party images, put before their names."),
	aws,
	network,
	cluster,
	nodes,
	autoscaler,
	app,
	jobs,
	terminals,
	loadBalancer,
	domain: domain.optional(),
	redis,
	postgres,
	secrets,
};

export const schema = z.strictObject(sections);

/** Complete settings: every default filled in. */
export type StackConfig = z.output<typeof schema>;

/** AWS refuses a block with bits set beyond its prefix, such as 10.0.0.1/16. */
function beginsItsBlock(block: string): boolean {
	const [address = "", prefix = "32"] = block.split("/");
	const number = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
	return number % 2 ** (32 - Number(prefix)) === 0;
}
