/** Every image we deploy and did not build, by its exact name. */
const images = {
	/** HAProxy 3.2 has long-term support until 2030: https://www.haproxy.org/ */
	haproxy: "docker.io/library/haproxy:3.2.24-alpine",
} as const;

/** The autoscaler is of the cluster's own minor version: https://github.com/kubernetes/autoscaler/releases */
const clusterAutoscalers = {
	"1.34": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.34.5",
	"1.35": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.2",
	"1.36": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.36.1",
} as const;

/** Kubernetes versions there is an autoscaler for. */
export type KubernetesVersion = keyof typeof clusterAutoscalers;

/**
 * The full name of an image. A mirror holds each under the name it has at home, registry and all:
 * `mirror.example.com/docker.io/library/haproxy:...`.
 *
 * @param mirror registry put before the name, or null to pull from where the image is published
 */
export function imageOf(name: keyof typeof images, mirror: string | null): string {
	return at(mirror, images[name]);
}

/** The cluster autoscaler's image for a Kubernetes version; `mirror` as in {@link imageOf}. */
export function clusterAutoscalerImage(version: KubernetesVersion, mirror: string | null): string {
	return at(mirror, clusterAutoscalers[version]);
}

function at(mirror: string | null, image: string): string {
	return mirror === null ? image : `${mirror}/${image}`;
}
