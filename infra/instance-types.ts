import { type Compute, sumCompute } from "../core/units.ts";

/** An EC2 type that nodes may have. */
export interface InstanceType {
	readonly vcpus: number;
	/** Mebibytes, as EC2 advertises them. */
	readonly memoryMib: number;
	readonly architecture: "x86_64" | "arm64";
	/** Pods the kubelet takes on, those of the host's network included. */
	readonly maxPods: number;
	/** Addresses a full node takes from its subnet. */
	readonly maxAddresses: number;
	/** Memory reserved for the kubelet and the container runtime, MiB. */
	readonly reservedMib: number;
}

/** What families differ in: the processor, and how much memory goes with a vCPU. */
const families = {
	m7i: { architecture: "x86_64", mibPerVcpu: 4096 },
	m7g: { architecture: "arm64", mibPerVcpu: 4096 },
	m6i: { architecture: "x86_64", mibPerVcpu: 4096 },
	c7i: { architecture: "x86_64", mibPerVcpu: 2048 },
	r7i: { architecture: "x86_64", mibPerVcpu: 8192 },
} as const;

/**
 * Network interfaces and IPv4 addresses on each are the same in all these families:
 * https://github.com/awslabs/amazon-eks-ami/blob/main/nodeadm/internal/kubelet/instance-info.jsonl
 */
const sizes = {
	large: { vcpus: 2, interfaces: 3, addresses: 10 },
	xlarge: { vcpus: 4, interfaces: 4, addresses: 15 },
	"2xlarge": { vcpus: 8, interfaces: 4, addresses: 15 },
	"4xlarge": { vcpus: 16, interfaces: 8, addresses: 30 },
} as const;

type Family = keyof typeof families;
type Size = keyof typeof sizes;

/** The name of a type, e.g. `m7i.2xlarge`. */
export type InstanceTypeName = `${Family}.${Size}`;

/**
 * Managed node groups allow 110 pods on nodes with fewer than 30 vCPUs, however many addresses there are:
 * https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html
 */
const MANAGED_POD_LIMIT = 110;

/** Every type that nodes may have. */
export const instanceTypes = Object.fromEntries(
	(Object.keys(families) as Family[]).flatMap((family) =>
		(Object.keys(sizes) as Size[]).map((size) => [`${family}.${size}`, typeOf(family, size)]),
	),
) as Readonly<Record<InstanceTypeName, InstanceType>>;

/**
 * What pods may request of a node of this type: its capacity, less what Linux and the hypervisor keep, what the kubelet
 * reserves and the memory at which it starts to evict. On the safe side: the real figure is a little higher.
 */
export function allocatable(name: InstanceTypeName): Compute {
	const { vcpus, memoryMib, reservedMib } = instanceTypes[name];
	return {
		milliCpu: vcpus * 1000 - reservedMilliCpu(vcpus),
		memoryMib: Math.floor(memoryMib * (1 - VM_OVERHEAD)) - reservedMib - EVICTION_MIB,
	};
}

/**
 * What EC2 advertises and Linux does not get. Karpenter assumes 7.5 % for every type:
 * https://karpenter.sh/docs/reference/settings/ (VM_MEMORY_OVERHEAD_PERCENT)
 */
const VM_OVERHEAD = 0.075;

/** `evictionHard` of EKS's AL2023: https://github.com/awslabs/amazon-eks-ami/blob/main/nodeadm/internal/kubelet/config.go */
const EVICTION_MIB = 100;

/**
 * What each node runs for the cluster. Requests as the add-ons set them, and for the three that request no memory an
 * allowance for what they use:
 * https://github.com/aws/amazon-vpc-cni-k8s/blob/master/charts/aws-vpc-cni/values.yaml
 * https://github.com/aws/eks-pod-identity-agent/blob/main/charts/eks-pod-identity-agent/values.yaml
 * https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/charts/aws-ebs-csi-driver/values.yaml
 * https://github.com/aws/eks-node-monitoring-agent/blob/main/charts/eks-node-monitoring-agent/values.yaml
 */
const daemonSets = {
	"aws-node": { milliCpu: 50, memoryMib: 128 },
	"kube-proxy": { milliCpu: 100, memoryMib: 64 },
	"eks-pod-identity-agent": { milliCpu: 10, memoryMib: 32 },
	"ebs-csi-node": { milliCpu: 30, memoryMib: 120 },
	"eks-node-monitoring-agent": { milliCpu: 10, memoryMib: 30 },
} as const;

/** What the cluster add-ons' DaemonSets ask of every node, all together. */
export const daemonSetRequests: Compute = sumCompute(Object.values(daemonSets));

function typeOf(family: Family, size: Size): InstanceType {
	const { architecture, mibPerVcpu } = families[family];
	const { vcpus, interfaces, addresses } = sizes[size];
	// One address of each interface is its own; aws-node and kube-proxy use the host's network.
	const podsByAddresses = interfaces * (addresses - 1) + 2;
	return {
		vcpus,
		memoryMib: vcpus * mibPerVcpu,
		architecture,
		maxPods: Math.min(podsByAddresses, MANAGED_POD_LIMIT),
		maxAddresses: interfaces * addresses,
		// The node reserves for what its addresses allow, not for the lower limit.
		reservedMib: 255 + 11 * podsByAddresses,
	};
}

/**
 * 6 % of the first CPU, 1 % of the second, 0.5 % of the next two and 0.25 % of the rest:
 * https://github.com/awslabs/amazon-eks-ami/blob/main/nodeadm/internal/kubelet/config.go
 */
function reservedMilliCpu(vcpus: number): number {
	const share = (index: number) => (index === 0 ? 60 : index === 1 ? 10 : index < 4 ? 5 : 2.5);
	return Math.ceil(Array.from({ length: vcpus }, (_, index) => share(index)).reduce((sum, milli) => sum + milli, 0));
}
