import { describe, expect, it } from "vitest";
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { WorkloadRole, type WorkloadRoleArgs } from "./workload-role.ts";

const args: WorkloadRoleArgs = {
	prefix: "agentic-flow-test",
	accountId: "111122223333",
	region: "eu-west-1",
	clusterName: "agentic-flow-test",
	namespace: "kube-system",
	serviceAccount: "cluster-autoscaler",
	managedPolicyArns: [],
	statements: [{ Effect: "Allow", Action: ["autoscaling:SetDesiredCapacity"], Resource: "arn:aws:autoscaling:*:111122223333:*" }],
	boundBy: "association",
};

describe("WorkloadRole", () => {
	it("binds its role to one service account", async () => {
		const resources = await build(args);
		expect(resources.map(({ type }) => type)).toEqual([
			"aws:eks/podIdentityAssociation:PodIdentityAssociation",
			"aws:iam/role:Role",
			"aws:iam/rolePolicy:RolePolicy",
		]);
		expect(resources[0]?.inputs).toEqual({
			clusterName: "agentic-flow-test",
			namespace: "kube-system",
			roleArn: { $unknown: true },
			serviceAccount: "cluster-autoscaler",
		});
		expect(resources[1]?.inputs.name).toBe("agentic-flow-test-kube-system-cluster-autoscaler");
		expect(JSON.parse(String(resources[2]?.inputs.policy)).Statement).toEqual(args.statements);
	});

	it("leaves the binding to the add-on, and makes no empty policy", async () => {
		const resources = await build({ ...args, managedPolicyArns: ["arn:aws:iam::aws:policy/Example"], statements: [], boundBy: "addon" });
		expect(resources.map(({ name }) => name)).toEqual(["workload-role", "workload-Example"]);
	});
});

async function build(settings: WorkloadRoleArgs): Promise<readonly ResourceRecord[]> {
	const { resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		new WorkloadRole("workload", settings, {});
		return {};
	});
	return resources.filter(({ custom }) => custom);
}
