/**
 * What of `sent` is not in `answer`, as paths with both values; empty where the API kept all of it. Fields that the API
 * added do not count, amounts are compared as amounts ("1000m" is "1"), and a zero value counts as sent by leaving it out.
 */
export function pruned(sent: unknown, answer: unknown, path = ""): string[] {
	if (isZero(sent) && (answer === undefined || isZero(answer))) return [];
	if (Array.isArray(sent) && Array.isArray(answer) && sent.length === answer.length) {
		return sent.flatMap((value, index) => pruned(value, answer[index], `${path}[${index}]`));
	}
	if (isObject(sent) && isObject(answer)) {
		return Object.entries(sent).flatMap(([key, value]) => pruned(value, answer[key], path ? `${path}.${key}` : key));
	}
	if (sent === answer || (amount(sent) !== undefined && amount(sent) === amount(answer))) return [];
	return [`${path}: sent ${JSON.stringify(sent)}, got ${JSON.stringify(answer)}`];
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What Go leaves out of JSON (`omitempty`). */
function isZero(value: unknown): boolean {
	if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
	return value === null || value === "" || value === 0 || value === false;
}

const UNITS: Record<string, number> = {
	m: 1e-3,
	"": 1,
	k: 1e3,
	M: 1e6,
	G: 1e9,
	T: 1e12,
	Ki: 2 ** 10,
	Mi: 2 ** 20,
	Gi: 2 ** 30,
	Ti: 2 ** 40,
};

/** A quantity as a number. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
function amount(value: unknown): number | undefined {
	const [, digits, unit] = /^(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(String(value)) ?? [];
	return digits === undefined ? undefined : Number(digits) * (UNITS[unit ?? ""] as number);
}
