import { expect, it } from "vitest";
import { clusterAutoscalerImage, imageOf, type KubernetesVersion } from "./versions.ts";

it("an image comes from its own registry, or from a mirror under its whole name", () => {
	expect(imageOf("haproxy", null)).toMatch(/^docker\.io\/library\/haproxy:\d+\.\d+\.\d+-alpine$/);
	expect(imageOf("haproxy", "mirror.example.com/all")).toBe(`mirror.example.com/all/${imageOf("haproxy", null)}`);
});

it.each(["1.34", "1.35", "1.36"] satisfies KubernetesVersion[])("the autoscaler of Kubernetes %s is of that version", (version) => {
	expect(clusterAutoscalerImage(version, null)).toContain(`:v${version}.`);
});
