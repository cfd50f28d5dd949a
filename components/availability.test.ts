import { expect, it } from "vitest";
import { oneAtATime, rolloutTimeouts } from "./availability.ts";

const shutdown = { preStopSeconds: 15, drainSeconds: 45, terminationGraceSeconds: 90 };

it("the engine waits until the last of the pods has been replaced", () => {
	expect(rolloutTimeouts(40, shutdown, 15)).toEqual({ create: "9600s", update: "9600s", delete: "210s" });
});

it("one pod may stop, wait for a node and start before a rollout counts as stuck", () => {
	expect(oneAtATime(shutdown).progressDeadlineSeconds).toBe(90 + 600 + 120);
});
