/**
 * What the cluster autoscaler may do in the cluster: upstream's rules for 1.35, without what is left in them of API
 * groups and elections of the past.
 * https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/examples/cluster-autoscaler-autodiscover.yaml
 */
import type { input } from "@pulumi/kubernetes/types/index.js";

type Rule = input.rbac.v1.PolicyRule;

const READ = ["get", "list", "watch"];

/** In the whole cluster: it simulates the scheduler, so it reads whatever the scheduler looks at. */
export const clusterRules: Rule[] = [
	{ apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
	{ apiGroups: [""], resources: ["pods/eviction"], verbs: ["create"] },
	{ apiGroups: [""], resources: ["pods/status"], verbs: ["update"] },
	{ apiGroups: [""], resources: ["nodes"], verbs: [...READ, "update"] },
	{
		apiGroups: [""],
		resources: ["namespaces", "pods", "services", "replicationcontrollers", "persistentvolumeclaims", "persistentvolumes"],
		verbs: READ,
	},
	{ apiGroups: ["apps"], resources: ["daemonsets", "replicasets", "statefulsets"], verbs: READ },
	{ apiGroups: ["batch"], resources: ["jobs"], verbs: READ },
	{ apiGroups: ["policy"], resources: ["poddisruptionbudgets"], verbs: READ },
	{
		apiGroups: ["storage.k8s.io"],
		resources: ["storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"],
		verbs: READ,
	},
	// From 1.35 on it always watches these: https://github.com/kubernetes/autoscaler/pull/10278
	{ apiGroups: ["resource.k8s.io"], resources: ["deviceclasses", "resourceclaims", "resourceslices"], verbs: READ },
];

const STATUS = "cluster-autoscaler-status";
const LEASE = "cluster-autoscaler";

/** In its own namespace: its status for people to read, and the lease by which one of several leads. */
export const namespaceRules: Rule[] = [
	// A name cannot be told before there is an object of it.
	{ apiGroups: [""], resources: ["configmaps"], verbs: ["create", "list", "watch"] },
	{ apiGroups: [""], resources: ["configmaps"], resourceNames: [STATUS], verbs: ["get", "update", "delete"] },
	{ apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
	{ apiGroups: ["coordination.k8s.io"], resources: ["leases"], resourceNames: [LEASE], verbs: ["get", "update"] },
];
