import { describe, expect, it } from "vitest";
import { type CacheNodeType, cacheNodeTypes, type DatabaseClass, databaseClasses, maxConnections } from "./database-classes.ts";

describe("maxConnections", () => {
	const table: [DatabaseClass, number][] = [
		["db.t4g.medium", 400],
		["db.t4g.large", 806],
		["db.m7g.large", 806],
		["db.m7g.xlarge", 1617],
		["db.m7g.2xlarge", 3239],
		["db.m7g.4xlarge", 4995],
		["db.r7g.large", 1617],
		["db.r7g.xlarge", 3239],
		["db.r7g.2xlarge", 4995],
		["db.r7g.4xlarge", 4995],
	];

	it.each(table)("%s takes %i", (instanceClass, expected) => {
		expect(maxConnections(instanceClass)).toBe(expected);
	});

	it("is known for every class", () => {
		expect(table.map(([instanceClass]) => instanceClass)).toEqual(Object.keys(databaseClasses));
	});

	it("stays below every default that was read from an instance of the same memory", () => {
		const read: [DatabaseClass, number][] = [
			["db.m7g.large", 823],
			["db.m7g.xlarge", 1646],
			["db.m7g.2xlarge", 3410],
		];
		for (const [instanceClass, real] of read) expect(maxConnections(instanceClass)).toBeLessThan(real);
	});
});

describe("the tables", () => {
	it.each(Object.keys(databaseClasses) as DatabaseClass[])("%s has the memory of its family for its processors", (instanceClass) => {
		const perVcpu = { "db.t4g": undefined, "db.m7g": 4, "db.r7g": 8 }[instanceClass.slice(0, 6)];
		const { vcpus, memoryGib } = databaseClasses[instanceClass];
		expect(memoryGib).toBe(vcpus * (perVcpu ?? (instanceClass === "db.t4g.medium" ? 2 : 4)));
	});

	it.each(Object.keys(cacheNodeTypes) as CacheNodeType[])("%s keeps some of its node's memory for the system", (nodeType) => {
		const nominal = { "cache.t4g": 2, "cache.m7g": 4, "cache.r7g": 8 }[nodeType.slice(0, 9)] as number;
		const { vcpus, memoryGib } = cacheNodeTypes[nodeType];
		expect(memoryGib).toBeLessThan(vcpus * nominal);
		expect(memoryGib).toBeGreaterThan(nodeType === "cache.t4g.small" ? 1 : vcpus * nominal * 0.75);
	});
});
