/** Who waits for whom: idle time-outs along the way, drains within their grace. */
import { seconds } from "../../app/contract.ts";
import type { Fault } from "../../core/errors.ts";
import type { Rule } from "./rule.ts";
/** Seconds for which CoreDNS lets an answer be kept: the default of its `kubernetes` plugin. https://coredns.io/plugins/kubernetes/ */
export const DNS_TTL_SECONDS = 5;

export const timingRules = {
	timeouts: ({ loadBalancer: { timeouts } }) => {
		const chain = [
			["the ping interval plus the wait for its answer", timeouts.pingSeconds + seconds.pingTimeout, "pingSeconds"],
			["the ALB's idle time-out", timeouts.albIdleSeconds, "albIdleSeconds"],
			["HAProxy's client and tunnel time-out", timeouts.haproxyIdleSeconds, "haproxyIdleSeconds"],
			["the worker's keep-alive time-out", timeouts.keepAliveSeconds, "keepAliveSeconds"],
		] as const;
		return chain.slice(1).flatMap(([name, value, key], index) => {
			const [earlierName, earlier] = chain[index] as (typeof chain)[number];
			if (earlier < value) return [];
			return [
				{
					at: `loadBalancer.timeouts.${key}`,
					what: `is ${value} s, not above ${earlierName}, ${earlier} s`,
					why: `${name} must be the longer one, or a live connection is cut in the middle (each hop outlasts the one before it)`,
					fix: `set it above ${earlier}`,
				},
			];
		});
	},

	drains: ({ app, jobs, terminals, loadBalancer: { haproxy, healthCheck } }) => {
		const grace = (at: string, given: number, needs: number, parts: string): Fault[] =>
			given > needs
				? []
				: [
						{
							at: `${at}.terminationGraceSeconds`,
							what: `is ${given} s, but stopping takes up to ${needs} s (${parts})`,
							why: "Kubernetes would kill the pod before it has let go of its work",
							fix: `set it above ${needs}`,
						},
					];
		const margin = seconds.killMargin;
		const forget = DNS_TTL_SECONDS + haproxy.resolveSeconds + haproxy.holdSeconds;
		const notice = healthCheck.intervalSeconds * healthCheck.unhealthyThreshold + healthCheck.timeoutSeconds;
		return [
			...grace(
				"app",
				app.terminationGraceSeconds,
				app.preStopSeconds + app.drainSeconds + margin,
				`preStop ${app.preStopSeconds} + drain ${app.drainSeconds} + ${margin}`,
			),
			...grace("jobs", jobs.terminationGraceSeconds, jobs.drainSeconds + margin, `drain ${jobs.drainSeconds} + ${margin}`),
			...grace(
				"terminals",
				terminals.terminationGraceSeconds,
				terminals.drainSeconds + margin,
				`drain ${terminals.drainSeconds} + ${margin}`,
			),
			...grace(
				"loadBalancer.haproxy",
				haproxy.terminationGraceSeconds,
				haproxy.preStopSeconds + haproxy.hardStopSeconds + margin,
				`preStop ${haproxy.preStopSeconds} + hard stop ${haproxy.hardStopSeconds} + ${margin}`,
			),
			...(app.preStopSeconds >= forget
				? []
				: [
						{
							at: "app.preStopSeconds",
							what: `is ${app.preStopSeconds} s, but HAProxy may use a stopping pod for ${forget} s more`,
							why: `that is DNS ${DNS_TTL_SECONDS} + look-up ${haproxy.resolveSeconds} + hold ${haproxy.holdSeconds}`,
							fix: `set it to ${forget} or more`,
						},
					]),
			...(haproxy.preStopSeconds >= notice
				? []
				: [
						{
							at: "loadBalancer.haproxy.preStopSeconds",
							what: `is ${haproxy.preStopSeconds} s, but the ALB notices after up to ${notice} s`,
							why: `that is ${healthCheck.unhealthyThreshold} checks ${healthCheck.intervalSeconds} s apart and one time-out`,
							fix: `set it to ${notice} or more`,
						},
					]),
			...(healthCheck.timeoutSeconds < healthCheck.intervalSeconds
				? []
				: [
						{
							at: "loadBalancer.healthCheck.timeoutSeconds",
							what: `is ${healthCheck.timeoutSeconds} s, not below the interval, ${healthCheck.intervalSeconds} s`,
							why: "AWS refuses it",
							fix: `set it below ${healthCheck.intervalSeconds}`,
						},
					]),
		];
	},
} satisfies Record<string, Rule>;
