import { describe, expect, it } from "vitest";
import { allocatable, daemonSetRequests, type InstanceTypeName, instanceTypes } from "./instance-types.ts";

describe("instanceTypes", () => {
	it.each<[InstanceTypeName, number, number, number, number, string]>([
		["m7i.large", 2, 8192, 29, 30, "x86_64"],
		["m7i.xlarge", 4, 16_384, 58, 60, "x86_64"],
		["m7i.2xlarge", 8, 32_768, 58, 60, "x86_64"],
		["m7i.4xlarge", 16, 65_536, 110, 240, "x86_64"],
		["m7g.xlarge", 4, 16_384, 58, 60, "arm64"],
		["m6i.2xlarge", 8, 32_768, 58, 60, "x86_64"],
		["c7i.large", 2, 4096, 29, 30, "x86_64"],
		["r7i.4xlarge", 16, 131_072, 110, 240, "x86_64"],
	])("%s has %i vCPUs, %i MiB, room for %i pods and %i addresses, %s", (name, vcpus, memoryMib, maxPods, maxAddresses, architecture) => {
		expect(instanceTypes[name]).toMatchObject({ vcpus, memoryMib, maxPods, maxAddresses, architecture });
	});

	it("are five families in four sizes", () => {
		expect(Object.keys(instanceTypes)).toHaveLength(20);
	});
});

describe("allocatable", () => {
	it.each<[InstanceTypeName, number, number]>([
		// 8192 x 0.925 - (255 + 11 x 29) - 100
		["m7i.large", 1930, 6903],
		["m7i.xlarge", 3920, 14_162],
		["m7i.2xlarge", 7910, 29_317],
		// The memory is reserved for the 234 pods that the addresses allow.
		["m7g.4xlarge", 15_890, 57_691],
		["c7i.large", 1930, 3114],
	])("of %s is %i milliCPU and %i MiB", (name, milliCpu, memoryMib) => {
		expect(allocatable(name)).toEqual({ milliCpu, memoryMib });
	});

	it("leaves room beside the add-ons on the smallest type", () => {
		const { milliCpu, memoryMib } = allocatable("c7i.large");
		expect(daemonSetRequests).toEqual({ milliCpu: 200, memoryMib: 374 });
		expect(milliCpu).toBeGreaterThan(daemonSetRequests.milliCpu);
		expect(memoryMib).toBeGreaterThan(daemonSetRequests.memoryMib);
	});
});
