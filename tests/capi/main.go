// clusterctl as Cluster API releases it, for the tests of what it makes of this project's release files. The harness in tests/suite
// builds it once into the user's cache folder, and takes Cluster API's definitions from the same module.
package main

import "sigs.k8s.io/cluster-api/cmd/clusterctl/cmd"

func main() {
	cmd.Execute()
}
