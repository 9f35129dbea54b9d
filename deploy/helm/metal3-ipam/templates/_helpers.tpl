{{/* The text of a file of deploy/ (files/ holds copies), in the release's namespace and without comments. Takes the root and a path. */}}
{{- define "metal3-ipam.file" -}}
{{- $root := index . 0 -}}
{{- $text := $root.Files.Get (printf "files/%s" (index . 1)) | required (printf "the chart has no files/%s" (index . 1)) -}}
{{- regexReplaceAll "(?m)^ *#.*\n" $text "" | replace "metal3-ipam-system" $root.Release.Namespace -}}
{{- end -}}

{{/* The same with the provider's label on every object. */}}
{{- define "metal3-ipam.labelled" -}}
{{- include "metal3-ipam.file" . | replace "\nmetadata:\n" "\nmetadata:\n  labels:\n    cluster.x-k8s.io/provider: ipam-metal3\n" -}}
{{- end -}}

{{/* The namespace that is served; empty: all. */}}
{{- define "metal3-ipam.namespace" -}}
{{- with .Values.namespaces -}}{{ index . 0 }}{{- end -}}
{{- end -}}

{{- define "metal3-ipam.selector" -}}
cluster.x-k8s.io/provider: ipam-metal3
control-plane: controller-manager
{{- end -}}

{{- define "metal3-ipam.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default (printf "v%s" $.Chart.AppVersion) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Ends the rendering where values do not go together. */}}
{{- define "metal3-ipam.check" -}}
{{- if gt (len .Values.namespaces) 1 -}}
{{- fail "namespaces: a manager serves one namespace or all; install one release for each namespace, all but one with crds.install=false" -}}
{{- end -}}
{{- if and .Values.namespaces (ne .Values.webhook.mode "none") -}}
{{- fail "namespaces: a manager of one namespace has no webhook, since webhook configurations hold for the whole cluster; set webhook.mode=none" -}}
{{- end -}}
{{- if and .Values.namespaces .Values.monitoring.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) -}}
{{- fail "monitoring.enabled with namespaces: only the pods of the release's namespace may read the metrics; let Prometheus in with networkPolicy.metricsFrom" -}}
{{- end -}}
{{- $elsewhere := dict
    "--health-addr" "the container's port and the probes are :9440"
    "--webhook-port" "set webhook.mode, the container's port is 9443"
    "--leader-elect-lease-name" "the role names the lease controller-leader-election-ipam-capm3"
    "--leader-elect-namespace" "the role is of the release's namespace"
    "--namespace" "set namespaces, which the roles follow"
    "--watch-filter" "set watchFilter, which the policies follow" -}}
{{- range $arg := .Values.extraArgs -}}
{{- $flag := regexFind "^[^=]+" $arg -}}
{{- with get $elsewhere $flag -}}
{{- fail (printf "extraArgs: %s belongs to other objects of the chart too: %s" $flag .) -}}
{{- end -}}
{{- $same := printf "^--diagnostics-address=(0|.*:%d)$" (int64 $.Values.metricsPort) -}}
{{- if and (eq $flag "--diagnostics-address") (not (regexMatch $same $arg)) -}}
{{- fail (printf "extraArgs: %s: the container's port and the NetworkPolicy are of port %d; set metricsPort" $arg (int64 $.Values.metricsPort)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.claimFinalizers.enabled (semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "claimFinalizers.enabled: needs Kubernetes 1.36 or later, and this is %s; set it to false, the manager then puts the finalizer in" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}

{{/* Bindings of policies for what the manager serves. Takes the root, a path and the value of the watch-filter label, or "". */}}
{{- define "metal3-ipam.bindings" -}}
{{- $root := index . 0 -}}
{{- $match := dict -}}
{{- with $root.Values.namespaces -}}
{{- $_ := set $match "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" (index . 0))) -}}
{{- end -}}
{{- with index . 2 -}}
{{- $_ := set $match "objectSelector" (dict "matchLabels" (dict "cluster.x-k8s.io/watch-filter" .)) -}}
{{- end -}}
{{- $text := include "metal3-ipam.file" (list $root (index . 1)) -}}
{{- if $match -}}
{{- $text | replace "\nspec:\n" (printf "\nspec:\n  matchResources: %s\n" (toJson $match)) -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/* A number as people read it: 1,000. */}}
{{- define "metal3-ipam.number" -}}
{{- regexReplaceAll "([0-9])([0-9]{3})$" (printf "%d" (int64 .)) "${1},${2}" -}}
{{- end -}}
