// A real Kubernetes control plane for the tests, in one binary: `etcd`, `kube-apiserver` and `kube-controller-manager` as
// subcommands, linked from their own modules, and `elect`, a contender for a lease as client-go makes them. The harness in
// tests/suite builds it once into the user's cache folder.
//
// Each of them ends when its standard input ends, so that nothing outlives the test process, however that dies. `etcd` takes
// its whole folder with it, which is the folder that everything of the run lives in.
package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-controller-manager|elect [flags]")
		os.Exit(2)
	}
	command := os.Args[1]
	os.Args = append([]string{filepath.Join(filepath.Dir(os.Args[0]), command)}, os.Args[2:]...)
	parentGone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(parentGone)
		if command != "etcd" {
			os.Exit(0)
		}
	}()
	switch command {
	case "etcd":
		if err := etcd(os.Args[1:], parentGone); err != nil {
			fmt.Fprintln(os.Stderr, "etcd:", err)
			os.Exit(1)
		}
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "elect":
		if err := elect(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "elect:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintf(os.Stderr, "no subcommand %q\n", command)
		os.Exit(2)
	}
}

// etcd serves a member that lives in DIR/etcd on CLIENT-URL until the parent is gone, then removes DIR.
func etcd(args []string, parentGone <-chan struct{}) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: controlplane etcd DIR CLIENT-URL PEER-URL")
	}
	clientURL, err := url.Parse(args[1])
	if err != nil {
		return err
	}
	peerURL, err := url.Parse(args[2])
	if err != nil {
		return err
	}
	// Ctrl-C reaches the parent and its children alike: the folder must go nevertheless.
	signal.Ignore(os.Interrupt)
	config := embed.NewConfig()
	config.Dir = filepath.Join(args[0], "etcd")
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*peerURL}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "error"
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	select {
	case <-parentGone:
		server.Close()
		return os.RemoveAll(args[0])
	case err := <-server.Err():
		return err
	}
}

// elect contends for the Lease NAMESPACE/NAME as IDENTITY, as every controller written with client-go does (upstream's manager
// among them), with its usual timings. It holds the lease until it is ended, and never gives it up by itself.
func elect(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: controlplane elect KUBECONFIG NAMESPACE NAME IDENTITY")
	}
	config, err := clientcmd.BuildConfigFromFlags("", args[0])
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	leaderelection.RunOrDie(context.Background(), leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: args[1], Name: args[2]},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: args[3]},
		},
		LeaseDuration: 15 * time.Second,
		RenewDeadline: 10 * time.Second,
		RetryPeriod:   2 * time.Second,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {},
			OnStoppedLeading: func() {},
		},
	})
	return fmt.Errorf("the lease was lost")
}
