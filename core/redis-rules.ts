/**
 * What a Redis user may do that sees the keys and channels of one prefix and administers nothing: rules of `ACL SETUSER`, which
 * ElastiCache takes as an access string.
 */
export function rulesForPrefix(prefix: string): string[] {
	return ["on", `~${prefix}*`, `&${prefix}*`, "+@all", "-@admin", "-@dangerous", "+info", "+client|list"];
}
