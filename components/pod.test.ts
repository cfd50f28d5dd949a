import { describe, expect, it } from "vitest";
import { gracePeriod, httpProbe, resourcesOf } from "./pod.ts";

describe("a grace period", () => {
	const stop = { preStopSeconds: 15, drainSeconds: 45 };

	it("is refused where it is as short as stopping takes long", () => {
		const message = "a grace of 70 s is not above the 70 s that stopping takes";
		expect(() => gracePeriod({ ...stop, terminationGraceSeconds: 70 })).toThrow(message);
	});

	it("is taken from a second more on", () => {
		expect(gracePeriod({ ...stop, terminationGraceSeconds: 71 })).toBe(71);
	});
});

it("a pod's memory is its limit too, and its CPU need not be", () => {
	expect(resourcesOf({ requests: { milliCpu: 3200, memoryMib: 10_240 }, cpuLimitMilli: 8000, ephemeralMib: 2048 })).toEqual({
		requests: { cpu: "3200m", memory: "10240Mi", "ephemeral-storage": "2048Mi" },
		limits: { cpu: "8000m", memory: "10240Mi", "ephemeral-storage": "2048Mi" },
	});
});

it.each([
	[1, 1],
	[2, 1],
	[10, 5],
])("a probe every %i s takes an answer within %i s", (periodSeconds, timeoutSeconds) => {
	expect(httpProbe("/", "health", { periodSeconds, failureThreshold: 3 })).toEqual({
		httpGet: { path: "/", port: "health" },
		timeoutSeconds,
		periodSeconds,
		failureThreshold: 3,
	});
});
