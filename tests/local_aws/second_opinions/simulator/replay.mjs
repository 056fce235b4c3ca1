// Decide again what the local AWS decided: one JSON document a line in, one a line out, in the same order.
import { createInterface } from 'node:readline'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const named = (documents) => documents.map((policy, index) => ({ name: `policy-${index}`, policy }))

async function decide ({ principal, action, resource, account, context, policies, limits, controls, resource_policy: resourcePolicy }) {
  const result = await runSimulation({
    request: { principal, action, resource: { resource, accountId: account }, contextVariables: context },
    identityPolicies: named(policies),
    ...(limits.length ? { permissionBoundaryPolicies: named(limits.flat()) } : {}),
    ...(resourcePolicy ? { resourcePolicy } : {}),
    serviceControlPolicies: controls.length ? [{ orgIdentifier: 'root', policies: named(controls) }] : [],
    resourceControlPolicies: []
  }, { simulationMode: 'Strict' })
  if (result.resultType === 'error') return { error: JSON.stringify(result.errors) }
  const results = result.resultType === 'single' ? [result.result] : result.results
  // A call that names no resource, such as DescribeStacks of all stacks, reaches all of them. The simulator calls it
  // allowed where a policy allows one.
  const allowed = resource === '*' && result.resultType !== 'single'
    ? results.some(({ resourcePattern, analysis }) => resourcePattern === '*' && analysis.result === 'Allowed')
    : result.overallResult === 'Allowed'
  return { allowed, ignored: results[0]?.ignoredContextKeys ?? [] }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await decide(JSON.parse(line))))
}
